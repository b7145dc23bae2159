"""Tokens struck from the words of others, however those wrote them."""

import base64
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.secret import MARK, is_sendable, kept, struck

TOKEN = "hf_Ab+1/Cd=2.Ef~3Gh"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))


WRITTEN = (
    TOKEN,
    TOKEN.upper(),
    quote(TOKEN, safe=""),
    quote(TOKEN, safe="").lower(),
    TOKEN.encode().hex(),
    base64.b64encode(TOKEN.encode()).decode(),
    base64.b64encode(f"user:{TOKEN}".encode()).decode(),
    base64.urlsafe_b64encode(f"me:{TOKEN}:more".encode()).decode(),
    TOKEN[:12],
    f"Bearer {TOKEN}",
)


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize(
    "text", ["{}", "no such token '{}' (401)", '{{"authorization": "{}"}}', "x?token={}&y=1", "<p>{}</p>"]
)
def test_a_token_is_struck_however_it_is_written(written, text):
    said = struck(text.format(written), TOKEN)
    assert MARK in said
    # In base64 there is left what was encoded before it.
    assert not any(written[at : at + 12] in said for at in range(len(written) - 11))


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "the file", "an older library's"])
def test_the_hubs_own_tokens_are_known_without_being_told(monkeypatch, tmp_path, variable):
    secret = "an-unusual-secret-of-ours"
    if variable == "the file":
        (tmp_path / "token").write_text(f"{secret}\n")
    else:
        monkeypatch.setenv({"an older library's": "HUGGINGFACE_HUB_TOKEN"}.get(variable, variable), secret)
    assert struck(f"told {secret} again") == f"told {MARK} again"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {MARK}"),
        ("basic%20dXNlcjpwYXNz", f"basic%20{MARK}"),
        ("hf_abcdefghijklmnopqrstuvwxyz", MARK),
        ("proxy http://me:secret@proxy:3128/ refused", f"proxy http://{MARK}@proxy:3128/ refused"),
        ("PUT https://s3/x?X-Amz-Signature=abc&partNumber=1", f"PUT https://s3/x?X-Amz-Signature={MARK}&partNumber=1"),
        ("a bearer of news, basic English, hf_xet 1.8, https://host:80/a@b", "a bearer of news, basic English, hf_xet 1.8, https://host:80/a@b"),
    ],
)  # fmt: skip
def test_what_is_a_secret_by_where_it_stands_is_struck_and_nothing_else(text, left):
    assert struck(text) == left


@given(st.text())
def test_where_there_is_no_token_a_text_stays(text):
    assert struck(text, "") == struck(text, None)
    assert (
        struck("the Hub refused (commit): refused with 400", "abc")
        == "the Hub refused (commit): refused with 400"
    )


def test_however_long_the_text_it_takes_no_longer_than_that():
    begin = time.process_time()
    for piece in ("a", "=", "://a:", "bearer ", "://", "x-amz-signature=", TOKEN[:5], "hf_"):
        struck(piece * (400_000 // len(piece)), TOKEN)
    assert time.process_time() - begin < 10


def test_an_error_that_passes_and_those_that_led_to_it_lose_the_token():
    with pytest.raises(OSError, match="outer") as raised, kept(TOKEN):
        raise OSError(f"outer {TOKEN}") from ValueError(f"inner {TOKEN}", 7)
    assert str(raised.value) == f"outer {MARK}"
    assert raised.value.__cause__.args == (f"inner {MARK}", 7)


def test_what_may_stand_in_a_header_is_known():
    assert is_sendable(TOKEN)
    assert not any(map(is_sendable, ("hf_a\nb", "hf_é", "hf a", "\x00")))
