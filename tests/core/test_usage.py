"""What sums, prices and budgets promise."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.prompt import Completion
from builder.core.usage import Budget, Price, Usage, counted, currency_of, exceeded, price_of, spent, unheld
from builder.errors import ConfigError
from builder.records import convert

USAGE = Usage(
    calls=3,
    failed=1,
    retries=2,
    prompt_tokens=2_000_000,
    completion_tokens=500_000,
    latency_s=4.5,
    queue_s=1.5,
    open_s=7200.0,
)
PRICE = Price(per_million_prompt_tokens=0.5, per_million_completion_tokens=2.0, per_hour=4.0, currency="EUR")

amounts = st.integers(min_value=0, max_value=10**12)
usages = st.builds(
    Usage,
    calls=amounts,
    failed=amounts,
    retries=amounts,
    prompt_tokens=amounts,
    completion_tokens=amounts,
    latency_s=amounts.map(float),
    queue_s=amounts.map(float),
    open_s=amounts.map(float),
    thinking_tokens=amounts,
    uncounted=amounts,
    uncounted_thinking=amounts,
)


@given(usages, usages)
def test_usage_adds_up_in_every_field_and_what_was_added_is_what_came_since(one, other):
    both = one + other
    for field in Usage.__struct_fields__:
        assert getattr(both, field) == getattr(one, field) + getattr(other, field)
    assert both == other + one
    assert both - one == other
    assert one + Usage() == one


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        (None, Usage(calls=1, failed=1, latency_s=2.0)),
        (
            Completion(
                text="", finish_reason="stop", prompt_tokens=7, completion_tokens=9, thinking_tokens=5
            ),
            Usage(calls=1, prompt_tokens=7, completion_tokens=9, thinking_tokens=5, latency_s=2.0),
        ),
        (
            Completion(text="", finish_reason="stop", prompt_tokens=7),
            Usage(calls=1, prompt_tokens=7, uncounted=1, latency_s=2.0),
        ),
        (Completion(text="", finish_reason="stop"), Usage(calls=1, uncounted=1, latency_s=2.0)),
        (
            Completion(text="", finish_reason="stop", prompt_tokens=7, completion_tokens=9, thinking="Hm."),
            Usage(calls=1, prompt_tokens=7, completion_tokens=9, uncounted_thinking=1, latency_s=2.0),
        ),
    ],
)
def test_a_call_is_counted_with_what_the_server_says_and_as_uncounted_where_it_does_not(answer, usage):
    assert counted(answer, 2.0) == usage


def test_tokens_are_those_of_prompts_and_completions():
    assert USAGE.tokens == 2_500_000


def test_a_price_counts_prompts_completions_and_the_hours_that_an_endpoint_is_held_open():
    assert PRICE.of(USAGE) == 2 * 0.5 + 0.5 * 2.0 + 2 * 4.0
    assert Price().of(USAGE) == 0


def test_a_star_is_the_price_of_every_model_without_one_of_its_own():
    prices = {"large": PRICE, "*": Price(per_hour=1.0, currency="EUR")}
    assert price_of("large", prices) is PRICE
    assert price_of("small", prices) is prices["*"]
    assert price_of("small", {"large": PRICE}) is None
    assert spent({"large": USAGE, "small": USAGE}, prices) == 10.0 + 2.0
    assert spent({"large": USAGE, "small": USAGE}, {"large": PRICE}) == 10.0


def test_prices_in_several_currencies_are_refused_by_name():
    assert currency_of({"large": PRICE, "small": PRICE}) == "EUR"
    assert currency_of({}) == "USD"
    with pytest.raises(ValueError, match="prices are in EUR and USD: put them all in one currency"):
        currency_of({"large": PRICE, "small": Price()})


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(), None),
        (Budget(calls=7, tokens=5_000_001, money=20.01), None),
        (Budget(calls=6), "6 calls are used, the budget is 6 calls"),
        (Budget(calls=2), "6 calls are used, the budget is 2 calls"),
        (Budget(tokens=5_000_000), "5,000,000 tokens are used, the budget is 5,000,000 tokens"),
        (Budget(calls=7, money=20.0), "20.00 EUR are spent, the budget is 20.00 EUR"),
        (Budget(money=0.5), "20.00 EUR are spent, the budget is 0.50 EUR"),
    ],
)
def test_a_budget_that_is_used_up_over_all_models_is_said_with_its_figures(budget, said):
    assert exceeded({"one": USAGE, "two": USAGE}, {"*": PRICE}, budget) == said


@pytest.mark.parametrize(
    ("budget", "price", "kinds"),
    [
        (Budget(), PRICE, None),
        (Budget(calls=5), PRICE, None),
        (Budget(tokens=5), None, "tokens"),
        (Budget(tokens=5, money=5.0), PRICE, "tokens and of money"),
        (Budget(money=5.0), Price(per_million_completion_tokens=1.0), "money"),
        (Budget(money=5.0), Price(per_hour=4.0), None),
        (Budget(money=5.0), None, None),
    ],
)
def test_a_budget_that_tokens_which_are_not_told_can_pass_is_said_not_to_hold(budget, price, kinds):
    prices = {} if price is None else {"one": price}
    said = unheld("one", Usage(calls=2, uncounted=1), prices, budget)
    assert (said is None) == (kinds is None)
    assert said is None or f"the budget of {kinds} cannot hold" in said
    assert unheld("one", USAGE, prices, budget) is None


def test_what_is_in_flight_counts_against_a_budget_of_calls():
    assert exceeded({"one": USAGE}, {}, Budget(calls=5), in_flight=1) is None
    assert exceeded({"one": USAGE}, {}, Budget(calls=5), in_flight=2) == (
        "5 calls are used, the budget is 5 calls"
    )


@pytest.mark.parametrize("key", ["calls", "tokens", "money"])
def test_a_budget_of_nothing_is_refused(key):
    with pytest.raises(ConfigError, match=f"'{key}' is 0"):
        convert({key: 0}, Budget, "site.toml")
    assert getattr(convert({key: 1}, Budget, "site.toml"), key) == 1


def test_a_price_below_nothing_is_refused():
    with pytest.raises(ConfigError, match="'per_hour' is -1"):
        convert({"per_hour": -1}, Price, "site.toml")


def test_usage_is_one_line_that_is_read_back_as_it_was():
    assert msgspec.json.decode(msgspec.json.encode(USAGE), type=Usage) == USAGE


def test_the_shares_of_a_budget_are_equal_and_never_more_than_all_of_it():
    assert Budget(calls=10, tokens=7, money=3.0).share(4) == Budget(calls=2, tokens=1, money=0.75)
    assert Budget(calls=10).share(3) == Budget(calls=3)
    assert Budget().share(2) == Budget()
