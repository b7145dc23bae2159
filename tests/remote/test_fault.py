"""What faults promise: what may pass is told from what will not, in the server's own words."""

import email.utils
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import ItemError, ProtocolError
from builder.remote.fault import finish, inside, refusal
from builder.remote.room import TryError

PASSING = {408, 424, 425, 429, 499, *range(500, 600)} - {501, 505}


def found(body, *, read=False, token=None):
    return inside("POST x", None, body, token, read=read)


@given(st.integers(min_value=100, max_value=999).filter(lambda status: not 200 <= status < 300))
def test_what_a_status_says_may_pass_is_worth_another_try_and_nothing_else(status):
    error = refusal("POST x", status, None, b'{"error": {"message": "no luck"}}', None)
    assert isinstance(error, TryError) == (status in PASSING)
    assert str(status) in str(error)
    assert "no luck" in str(error)


@given(st.none() | st.text(), st.binary())
def test_no_header_and_no_body_breaks_it(header, body):
    error = refusal("POST x", 503, header, body, None)
    assert isinstance(error, TryError)
    assert 0 <= error.wait_s <= 24 * 3600
    assert len(str(error)) < 300
    assert found(body) is None or isinstance(found(body), ItemError)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0.5", 0.5),
        (".5", 0.5),
        ("7.", 7),
        ("007", 7),
        ("1e3", 0),
        ("nan", 0),
        ("inf", 0),
        ("-3", 0),
        ("1_0", 0),
        ("٣", 0),
        ("99999999999", 24 * 3600),
        ("9" * 5000, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 24 * 3600),
        ("Fri, 31 Dec 99999999999 23:59:59 GMT", 0),
        ("Mon, 01 Jan 1990 00:00:00 +9999", 0),
        ("", 0),
    ],
)
def test_when_to_come_back_takes_fractions_and_dates_and_is_bounded(header, seconds):
    assert refusal("POST x", 503, header, b"", None).wait_s == seconds


def test_a_date_in_another_zone_is_that_moment():
    there = datetime.now(UTC) + timedelta(minutes=2)
    date = email.utils.format_datetime(there.astimezone())
    assert 110 < refusal("POST x", 503, date, b"", None).wait_s <= 120


@pytest.mark.parametrize(
    ("body", "words", "passes"),
    [
        (b'{"error": {"message": "Rate limited", "code": 429}}', "429 Too Many Requests: Rate limited", True),
        (b'{"error": {"message": "Upstream", "code": "502"}}', "502 Bad Gateway: Upstream", True),
        (b'{"error": {"message": "No such model", "code": 404}}', "404 Not Found: No such model", False),
        (b'{"error": {"message": "Bad key", "code": 401}}', "Bad key (token_env", False),
        (b'{"error": "Model is overloaded"}', "Model is overloaded", True),
        (b'{"error": "gone", "status": 410}', "410 Gone: gone", False),
        (b'{"error": {"code": "server_error", "message": "Oh"}}', "Oh", True),
        (b'{"object": "error", "message": "Too long", "code": 400}', "400 Bad Request: Too long", False),
        (b'{"object": "error", "message": "Engine died"}', "Engine died", True),
        (b'{"choices": null, "error": {"message": "Exhausted", "code": 503}}', "Exhausted", True),
        (b'{"detail": "Not Found"}', "Not Found", False),
        (b'{"message": "Internal", "code": 500}', "500 Internal Server Error: Internal", True),
    ],
)
def test_an_error_inside_an_answer_of_200_is_an_error_with_the_servers_words(body, words, passes):
    error = found(body)
    assert isinstance(error, TryError) == passes
    assert words in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [], "error": null}',
        b'{"choices": [{"finish_reason": "error"}]}',
        b'{"choices": [], "error": {}, "message": "Hi"}',
        b'{"choices": [], "error": "", "detail": "Hi"}',
        b'["error"]',
        b'{"choices": [], "error": {"code": 0, "message": ""}}',
    ],
)
def test_an_answer_that_names_no_error_has_none(body):
    assert found(body, read=True) is None


def test_a_token_inside_an_answer_of_200_is_struck():
    assert "5ecret" not in str(found(b'{"error": "Bearer 5ecret-5ecret is bad"}', token="5ecret-5ecret"))


@pytest.mark.parametrize(
    "reason",
    [
        "stop",
        "eos",
        "eos_token",
        "stop_sequence",
        "end_turn",
        "COMPLETE",
        "",
        None,
        7,
        ["stop"],
        {"type": "stop"},
        "pause",
    ],
)
def test_what_is_not_known_to_be_another_end_is_a_stop(reason):
    assert finish(reason) == "stop"


@pytest.mark.parametrize(
    "reason",
    [
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "model_length",
        "limit",
        "max_output_tokens",
        {"type": "length", "length": 9},
    ],
)
def test_an_end_for_want_of_tokens_is_length(reason):
    assert finish(reason) == "length"


@pytest.mark.parametrize("reason", ["tool_calls", "function_call", "tool_use", "content_filter", "SAFETY"])
def test_a_tool_or_a_filter_gives_no_answer(reason):
    with pytest.raises(ProtocolError, match=reason):
        finish(reason)


@pytest.mark.parametrize(
    "reason", ["abort", "error", "cancelled", "canceled", "ABORTED", {"type": "abort", "message": "x"}]
)
def test_what_a_server_broke_off_is_worth_another_try(reason):
    with pytest.raises(TryError, match="broke off"):
        finish(reason)
