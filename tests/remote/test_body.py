"""What the body of an answer promises: a value or one ValueError, whatever it is made of."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.remote.body import _is_deep, decode


class Said(msgspec.Struct):
    said: str = ""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)


def depth(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(depth, parts), default=0) + isinstance(value, dict | list)


@given(json_values, st.integers(min_value=0, max_value=80))
def test_the_depth_is_that_of_lists_and_objects_and_brackets_in_strings_are_none(value, more):
    for _ in range(more):
        value = [value, '"]}[\\"{']
    assert _is_deep(json.dumps(value).encode()) == (depth(value) > 64)


@given(st.text())
def test_a_text_is_read_as_it_was_written(text):
    assert decode(msgspec.json.encode({"said": text}), Said).said == text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (rb'{"said":"Hi \ud83d"}', "Hi \ufffd"),
        (rb'{"said":"Hi \udc00 there"}', "Hi \ufffd there"),
        (rb'{"said":"\ud83d\ud83d\ude00"}', "\ufffd\U0001f600"),
        (rb'{"said":"\\ud83d \ud83d"}', "\\ud83d \ufffd"),
        (b'{"said":"Hi \xff"}', "Hi \ufffd"),
        (b'{"said":"Hi \xed\xa0\x80"}', "Hi \ufffd\ufffd\ufffd"),
        (b'\xef\xbb\xbf{"said":"Hi"}', "Hi"),
    ],
)
def test_what_is_no_character_is_the_replacement_character_and_can_be_written_again(content, said):
    found = decode(content, Said)
    assert found.said == said
    assert decode(msgspec.json.encode(found), Said) == found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"said": 5}',
        b'{"said": "Hi", "more": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"said": "Hi", "more": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"more":' * 5_000 + b"1" + b"}" * 5_000,
        b"[" + b"{}," * 100_000 + b"1]",
        b"\xff" * 1000,
    ],
    ids=lambda content: f"{content[:12]!r} of {len(content)} bytes",
)
def test_what_is_no_answer_is_one_value_error(content):
    with pytest.raises(ValueError, match=r"\w"):
        decode(content, Said)
