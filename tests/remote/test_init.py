import pytest

from builder.errors import ConfigError
from builder.plugins import make
from builder.plugins.llm import Backend
from builder.remote import Remote, base


@pytest.mark.parametrize(
    "url", ["http://node7:8080", "http://node7:8080/", "http://node7:8080/v1", "http://node7:8080/v1/"]
)
def test_an_address_is_the_same_with_and_without_its_end(url):
    assert base(url) == "http://node7:8080"


def test_a_path_of_its_own_is_kept():
    assert base("https://host/llama/v1") == "https://host/llama"


@pytest.mark.parametrize(
    "url", ["node7:8080", "ftp://node7", "http://", "http://node7:port", "http://[::1", ""]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="not an address like"):
        base(url)


@pytest.mark.parametrize("backend", ["tgi", "openai", "hub"])
@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@node7:8080",
        "http://hunter2@node7",
        "http://node7/?key=hunter2",
        "http://node7#hunter2",
    ],
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(backend, url):
    with pytest.raises(ConfigError, match="token_env") as caught:
        make(Backend, {"backend": backend, "url": url}, "site.toml: models.llama3-8B")
    assert "hunter2" not in str(caught.value)
    assert "site.toml: models.llama3-8B" in str(caught.value)


@pytest.mark.parametrize("setting", [{"limit": 0}, {"timeout_s": 0.0}, {"attempts": 0}, {"pause_s": -1.0}])
def test_a_setting_out_of_range_is_refused_by_name(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        make(Backend, {"backend": "tgi", "url": "http://node7", **setting}, "site.toml")


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_missing_token_is_named_by_its_variable(monkeypatch, value):
    monkeypatch.delenv("NODE_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("NODE_TOKEN", value)
    with pytest.raises(ConfigError, match=r"'NODE_TOKEN'.*not set"):
        Remote(token_env="NODE_TOKEN").token()


@pytest.mark.parametrize("value", ["tok\ninjected: yes", "tök"])
def test_what_cannot_stand_in_a_header_is_refused_and_not_repeated(monkeypatch, value):
    monkeypatch.setenv("NODE_TOKEN", value)
    with pytest.raises(ConfigError, match="NODE_TOKEN") as caught:
        Remote(token_env="NODE_TOKEN").token()
    assert value not in str(caught.value)


def test_a_token_is_read_without_the_white_space_around_it(monkeypatch):
    monkeypatch.setenv("NODE_TOKEN", " tok\n")
    assert Remote(token_env="NODE_TOKEN").token() == "tok"
    assert Remote().token() is None
