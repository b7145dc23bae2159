"""What models were asked, what it costs, and when it is enough.

Law of the file: usage only ever adds up; a price and a budget look at the sums and never at a single call.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from builder.core.prompt import Completion
from builder.core.values import Label, Money
from builder.records import Record


class Usage(Record):
    """What one model was asked, summed over calls."""

    calls: int = 0
    """Prompts that were answered or came to nothing."""
    failed: int = 0
    """Those of them that came to nothing."""
    retries: int = 0
    """Tries at a server that failed, where there is one; all but the last of a call that came to nothing were made again."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """As far as the servers say."""
    latency_s: float = 0.0
    """From asking to the answer, waiting and retries included, in seconds, of all calls together."""
    queue_s: float = 0.0
    """In the server's queue, in seconds, of all calls together, as far as the endpoint tells."""
    open_s: float = 0.0
    """How long an endpoint of the model was held open, in seconds; several at once count once."""
    thinking_tokens: int = 0
    """Of the completion tokens, those that were thought and not said, as far as the servers say."""
    uncounted: int = 0
    """Answers whose tokens the server did not say, so that the sums above are short of theirs."""
    uncounted_thinking: int = 0
    """Answers that were thought about, of which the server did not say the tokens of that."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.failed + other.failed,
            self.retries + other.retries,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.latency_s + other.latency_s,
            self.queue_s + other.queue_s,
            self.open_s + other.open_s,
            self.thinking_tokens + other.thinking_tokens,
            self.uncounted + other.uncounted,
            self.uncounted_thinking + other.uncounted_thinking,
        )

    def __sub__(self, earlier: "Usage") -> "Usage":
        """What was added since."""
        return Usage(
            self.calls - earlier.calls,
            self.failed - earlier.failed,
            self.retries - earlier.retries,
            self.prompt_tokens - earlier.prompt_tokens,
            self.completion_tokens - earlier.completion_tokens,
            self.latency_s - earlier.latency_s,
            self.queue_s - earlier.queue_s,
            self.open_s - earlier.open_s,
            self.thinking_tokens - earlier.thinking_tokens,
            self.uncounted - earlier.uncounted,
            self.uncounted_thinking - earlier.uncounted_thinking,
        )

    @property
    def tokens(self) -> int:
        """Of prompts and completions together."""
        return self.prompt_tokens + self.completion_tokens


def counted(answer: Completion | None, latency_s: float) -> Usage:
    """The usage that one call is.

    Args:
        answer: None where it came to nothing.
        latency_s: how long it took.
    """
    if answer is None:
        return Usage(calls=1, failed=1, latency_s=latency_s)
    return Usage(
        calls=1,
        prompt_tokens=answer.prompt_tokens or 0,
        completion_tokens=answer.completion_tokens or 0,
        latency_s=latency_s,
        thinking_tokens=answer.thinking_tokens or 0,
        uncounted=int(answer.prompt_tokens is None or answer.completion_tokens is None),
        uncounted_thinking=int(bool(answer.thinking) and answer.thinking_tokens is None),
    )


class Price(Record):
    """What a model costs. What is not said costs nothing."""

    per_million_prompt_tokens: Money = 0.0
    per_million_completion_tokens: Money = 0.0
    per_hour: Money = 0.0
    """Of all its replicas together, for as long as they are held open."""
    currency: Label = "USD"

    def of(self, usage: Usage) -> float:
        """What the usage costs, in the price's currency."""
        return (
            usage.prompt_tokens * self.per_million_prompt_tokens / 1e6
            + usage.completion_tokens * self.per_million_completion_tokens / 1e6
            + usage.open_s * self.per_hour / 3600
        )


class Budget(Record):
    """The most that a run may use, over all models and all the times that it was started. None is no bound."""

    calls: Annotated[int, msgspec.Meta(ge=1, le=10**15)] | None = None
    tokens: Annotated[int, msgspec.Meta(ge=1, le=10**15)] | None = None
    """Of prompts and completions together."""
    money: Annotated[float, msgspec.Meta(gt=0, le=10**12)] | None = None
    """In the currency of the prices."""

    def share(self, count: int) -> "Budget":
        """An equal share, which `count` may use without asking each other."""
        return Budget(
            calls=None if self.calls is None else self.calls // count,
            tokens=None if self.tokens is None else self.tokens // count,
            money=None if self.money is None else self.money / count,
        )


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """A model's price; `*` stands for every model without one of its own. None where there is neither."""
    return prices.get(model, prices.get("*"))


def currency_of(prices: Mapping[str, Price]) -> str:
    """The one currency of all prices.

    Raises:
        ValueError: they differ, so that nothing can be summed.
    """
    currencies = sorted({price.currency for price in prices.values()})
    if len(currencies) > 1:
        raise ValueError(f"prices are in {' and '.join(currencies)}: put them all in one currency")
    return currencies[0] if currencies else Price().currency


def spent(usage: Mapping[str, Usage], prices: Mapping[str, Price]) -> float:
    """What the usage of all models costs; a model without a price costs nothing.

    Args:
        usage: by model.
        prices: by model, in one currency.
    """
    costs = ((price_of(model, prices), used) for model, used in usage.items())
    return sum(price.of(used) for price, used in costs if price is not None)


def unheld(model: str, usage: Usage, prices: Mapping[str, Price], budget: Budget) -> str | None:
    """Why a budget cannot hold what a model is asked; None while it can.

    Args:
        model: the model.
        usage: its own.
        prices: by model.
        budget: what may be used.
    """
    if not usage.uncounted:
        return None
    price = price_of(model, prices)
    priced = price is not None and (price.per_million_prompt_tokens or price.per_million_completion_tokens)
    kinds = [
        kind
        for kind, bounded in {"tokens": budget.tokens, "money": budget.money if priced else None}.items()
        if bounded is not None
    ]
    if not kinds:
        return None
    return (
        f"the server of {model} does not say how many tokens it reads and writes: they are counted as unknown, so the "
        f"budget of {' and of '.join(kinds)} cannot hold; one of calls does"
    )


def exceeded(
    usage: Mapping[str, Usage], prices: Mapping[str, Price], budget: Budget, in_flight: int = 0
) -> str | None:
    """Why nothing more may be asked; None while something may.

    Args:
        usage: by model.
        prices: by model, in one currency.
        budget: what may be used.
        in_flight: prompts asked and not answered yet. They count as calls, so that a budget of calls is kept
            exactly; their tokens are not known, so that one of tokens or money is overrun by what is in flight.
    """
    if budget.calls is not None:
        calls = in_flight + sum(used.calls for used in usage.values())
        if calls >= budget.calls:
            return f"{calls:,} calls are used, the budget is {budget.calls:,} calls"
    if budget.tokens is not None:
        tokens = sum(used.tokens for used in usage.values())
        if tokens >= budget.tokens:
            return f"{tokens:,} tokens are used, the budget is {budget.tokens:,} tokens"
    if budget.money is not None:
        money = spent(usage, prices)
        if money >= budget.money:
            currency = currency_of(prices)
            return f"{money:,.2f} {currency} are spent, the budget is {budget.money:,.2f} {currency}"
    return None
