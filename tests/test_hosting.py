import base64
import time
import tomllib

import huggingface_hub
import pytest
from rich.console import Console

from builder.config import load_study
from builder.errors import ConfigError, EndpointError, ItemError
from builder.hub.hosting import Fleet, endpoints, read_hosting
from builder.plugins import make
from builder.plugins.llm import Backend
from tests.patience import PATIENCE_S
from tests.servers.endpoints_api import EndpointsAPI
from tests.servers.loopback import answer, drop

TOKEN = "tok-5ecret-5ecret"
BASE = "/v2/endpoint/lab"
SMALL, LARGE = "quickstart-phi4-mini", "quickstart-qwen2-5-72b"
TABLE = {
    "namespace": "lab",
    "vendor": "aws",
    "region": "us-east-1",
    "models": {
        "phi4-mini": {"instance_type": "nvidia-l40s", "instance_size": "x1", "max_replica": 2},
        "qwen2.5-72B": {"instance_type": "nvidia-l40s", "instance_size": "x4"},
    },
}
TAG = "deepdialogue-quickstart"


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with EndpointsAPI() as server:
        monkeypatch.setattr(huggingface_hub.constants, "INFERENCE_ENDPOINTS_ENDPOINT", f"{server.url}/v2")
        yield server


@pytest.fixture(scope="module")
def study():
    return load_study("quickstart")


def hosting(**changes):
    return read_hosting(TABLE | changes, "cloud")


def fleet(study, **changes):
    return Fleet(study, hosting(**changes), refresh_s=0.01)


def carry_out(verb, study, capsys, **options):
    """The exit status, what was shown and what was said of one verb."""
    status = endpoints(verb, study, hosting(), Console(width=200), **options)
    shown, said = capsys.readouterr()
    return status, shown, said


def mine(api, name, model, size="x1", state="running", **changes):
    """An endpoint of the study that is there already."""
    hub_id = load_study("quickstart").vocabulary.models[model].hub_id
    compute = {
        "accelerator": "gpu",
        "instanceType": "nvidia-l40s",
        "instanceSize": size,
        "scaling": {"minReplica": 1, "maxReplica": 2, "scaleToZeroTimeout": None},
    }
    repository = {"framework": "pytorch", "repository": hub_id, "image": {}}
    api.add(name, state=state, tags=(TAG,), compute=compute, model=repository, **changes)


def test_the_price_is_told_and_nothing_is_started_until_it_is_agreed_to(api, study, capsys):
    status, shown, said = carry_out("up", study, capsys)
    assert (status, shown, api.there) == (1, "", {})
    # Twice the small one's replica and once the large one's.
    assert "at most $11.90 an hour" in said
    assert "--yes" in said
    assert "microsoft/Phi-4-mini-instruct on nvidia-l40s x1, 1 to 2 replicas at $1.80 an hour" in said


def test_up_creates_what_the_site_says_under_the_study_s_tag(api, study):
    fleet(study, timeout_s=PATIENCE_S).up()
    assert api.states() == {SMALL: "running", LARGE: "running"}
    (small, large) = (one for one in api.bodies(BASE) if one)
    assert small["tags"] == large["tags"] == [TAG]
    assert small["type"] == "authenticated"
    assert small["compute"]["scaling"] == {"maxReplica": 2, "minReplica": 1, "scaleToZeroTimeout": None}
    assert large["model"]["repository"] == "Qwen/Qwen2.5-72B-Instruct"
    assert large["model"]["image"]["custom"]["url"].startswith(
        "ghcr.io/huggingface/text-generation-inference"
    )
    assert large["model"]["env"]["MAX_CONCURRENT_REQUESTS"] == "128"
    assert large["provider"] == {"region": "us-east-1", "vendor": "aws"}


def test_what_up_prints_is_the_site_s_own_tables(api, study, capsys):
    for name, model, size in ((SMALL, "phi4-mini", "x1"), (LARGE, "qwen2.5-72B", "x4")):
        mine(api, name, model, size)
    status, shown, _ = carry_out("up", study, capsys, yes=True)
    assert status == 0
    tables = tomllib.loads(shown)["models"]
    assert tables["qwen2.5-72B"]["url"] == f"{api.url}/served/{LARGE}"
    for table in tables.values():
        assert table["served_as"] == "/repository"
        make(Backend, table, "site")


def test_up_wakes_what_rests_and_leaves_alone_what_runs(api, study):
    mine(api, SMALL, "phi4-mini")
    mine(api, LARGE, "qwen2.5-72B", "x4", state="paused")
    assert [row.state for row in fleet(study).up()] == ["running", "running"]
    assert api.counts()[f"{BASE}/{LARGE}/resume"] == 1
    assert api.counts()[f"{BASE}/{SMALL}/resume"] == 0
    assert not any(request.method == "POST" and request.path == BASE for request in api.seen)


def test_a_price_of_the_site_goes_before_the_service_s(api, study):
    models = {"phi4-mini": TABLE["models"]["phi4-mini"] | {"price_per_hour": 0.5}}
    assert fleet(study, models=models).quote() == 1.0
    assert api.counts()["/v2/provider/lab"] == 0


def test_nothing_is_started_without_a_price(api, study):
    models = {"phi4-mini": {"instance_type": "nvidia-z9", "instance_size": "x1"}}
    with pytest.raises(ConfigError, match=r"no price for 'nvidia-z9' 'x1'.*set price_per_hour"):
        fleet(study, models=models).quote()


def test_an_endpoint_of_somebody_else_is_never_touched(api, study):
    api.add("chatbot", tags=("production",))
    mine(api, SMALL, "phi4-mini")
    fleet(study).down(delete=True)
    assert api.states() == {"chatbot": "running"}


def test_a_name_that_is_taken_is_refused_and_left_alone(api, study):
    api.add(SMALL, tags=("production",))
    for act in (lambda one: one.quote(), lambda one: one.up(), lambda one: one.down(delete=True)):
        with pytest.raises(ConfigError, match=rf"'{SMALL}' without the tag '{TAG}'"):
            act(fleet(study))
    assert api.states() == {SMALL: "running"}


def test_an_endpoint_that_is_not_what_the_site_says_is_refused(api, study):
    mine(api, SMALL, "phi4-mini", "x4")
    with pytest.raises(ConfigError, match=r"nvidia-l40s x4, the site says .* x1: .*down --delete"):
        fleet(study).quote()


def test_down_pauses_and_down_with_delete_deletes(api, study, capsys):
    mine(api, SMALL, "phi4-mini")
    mine(api, LARGE, "qwen2.5-72B", "x4", state="scaledToZero")
    status, _, said = carry_out("down", study, capsys)
    assert (status, api.states()) == (0, {SMALL: "paused", LARGE: "paused"})
    assert "none of the study's endpoints runs" in said
    carry_out("down", study, capsys, delete=True)
    assert api.there == {}


def test_down_also_stops_what_the_site_does_not_name_any_more(api, study):
    mine(api, "quickstart-gemma3-4b", "gemma3-4B")
    fleet(study).down(delete=False)
    assert api.states() == {"quickstart-gemma3-4b": "paused"}


def test_one_that_cannot_be_stopped_does_not_keep_the_others_running_and_is_named_with_its_price(api, study):
    mine(api, SMALL, "phi4-mini")
    mine(api, LARGE, "qwen2.5-72B", "x4")
    api.guarded = (f"{BASE}/{SMALL}/pause",)
    api.faults.append(answer(500, {"error": "no"}))
    with pytest.raises(EndpointError, match=rf"pause {SMALL}: .*still running: {SMALL} \(running, \$1.80\)"):
        fleet(study).down(delete=False)
    assert api.states() == {SMALL: "running", LARGE: "paused"}


def test_list_shows_state_address_price_and_the_total_of_what_is_billed(api, study, capsys):
    mine(api, SMALL, "phi4-mini")
    mine(api, LARGE, "qwen2.5-72B", "x4", state="paused")
    mine(api, "quickstart-old", "llama3-8B", "x9")
    status, shown, _ = carry_out("list", study, capsys)
    assert status == 0
    rows = {line.split("│")[1].strip(): line for line in shown.splitlines() if line.startswith("│")}
    assert f"{api.url}/served/{SMALL}" in rows[SMALL]
    assert rows[SMALL].rstrip("│ ").endswith("1.80")
    assert rows[LARGE].rstrip("│ ").endswith("0.00")
    assert rows["quickstart-old"].rstrip("│ ").endswith("?")
    assert "$1.80 an hour and what the unpriced cost" in shown


def test_each_replica_is_paid_for(api, study):
    mine(api, SMALL, "phi4-mini")
    api.there[SMALL]["status"]["targetReplica"] = 2
    assert [row.per_hour for row in fleet(study).rows()] == [3.6]


def test_a_failure_in_the_middle_says_what_runs_and_what_it_costs(api, study, capsys):
    api.broken.add(LARGE)
    with pytest.raises(ItemError, match=rf"{LARGE} failed: CUDA out of memory"):
        fleet(study).up()
    said = capsys.readouterr().err
    assert f"still running: {SMALL} (running, $1.80): $1.80 an hour" in said
    assert "endpoints down" in said


def test_a_refused_creation_says_what_was_created_before(api, study, capsys):
    api.guarded = (BASE,)
    first = iter(range(100))

    async def second_creation_fails(request):
        if request.method == "POST" and next(first) == 1:
            return await answer(400, {"error": "quota exceeded"})(request)
        return await (api._create if request.method == "POST" else api._list)(request)

    api.faults.extend([second_creation_fails] * 20)
    with pytest.raises(ItemError, match=f"create {LARGE}: .*quota exceeded"):
        fleet(study).up()
    assert f"still running: {SMALL} (initializing, $1.80)" in capsys.readouterr().err


def test_an_interruption_says_what_runs(api, study, capsys, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    api.stuck.add(SMALL)
    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fleet(study).up()
    said = capsys.readouterr().err
    assert f"still running: {SMALL} (initializing, $1.80)" in said
    assert LARGE in said


def test_where_the_service_does_not_say_what_runs_it_is_said_that_it_may(api, study, capsys):
    def gone(name):
        async def handle(request):
            if request.method == "POST":
                api.faults.extend([drop] * 20)
                return await drop(request)
            return await api._list(request)

        return handle

    api.guarded = (BASE,)
    api.faults.extend([gone("first"), gone("second")])
    with pytest.raises(EndpointError, match=f"create {SMALL}"):
        fleet(study).up()
    said = capsys.readouterr().err
    assert f"{SMALL}, {LARGE} may be running and cost money" in said
    assert "https://endpoints.huggingface.co/lab" in said


def test_waiting_outlasts_a_service_that_fails_for_a_moment(api, study, capsys):
    mine(api, SMALL, "phi4-mini", state="initializing")
    mine(api, LARGE, "qwen2.5-72B", "x4")
    api.guarded = (BASE,)
    api.faults.extend([api._list, answer(503, {"error": "busy"}), drop])
    assert len(fleet(study).up()) == 2
    assert capsys.readouterr().err.count("asking again") == 2


def test_what_is_not_ready_in_time_is_named(api, study):
    mine(api, SMALL, "phi4-mini")
    mine(api, LARGE, "qwen2.5-72B", "x4", state="initializing")
    api.stuck.add(LARGE)
    with pytest.raises(EndpointError, match=rf"not ready in 0.1 s: {LARGE} is initializing"):
        fleet(study, timeout_s=0.1).up()


def test_without_a_token_in_the_environment_nobody_is_asked(api, study, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match="HF_TOKEN is not set"):
        fleet(study)
    assert api.seen == []


def test_a_wrong_token_is_named_by_its_variable_and_repeated_nowhere(api, study, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "tok-wr0ng-wr0ng")
    api.guarded = (BASE,)
    api.faults.append(answer(401, {"error": "bad token tok-wr0ng-wr0ng"}))
    with pytest.raises(ItemError, match="HF_TOKEN") as caught:
        fleet(study).rows()
    assert "tok-wr0ng" not in str(caught.value)
    assert "tok-wr0ng" not in "".join(capsys.readouterr())


def test_the_token_is_never_said(api, study, capsys):
    carry_out("up", study, capsys)
    fleet(study).up()
    carry_out("list", study, capsys)
    fleet(study).down(delete=True)
    assert TOKEN not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": {}}, "models is empty"),
        ({"models": {"phi4-mini": {"instance_type": "a"}}}, "missing key 'models.phi4-mini.instance_size'"),
        ({"nmespace": "lab"}, "did you mean 'namespace'"),
        (
            {"models": {"phi4-mini": {"instance_type": "a", "instance_size": "x1", "min_replica": 3}}},
            "min_replica is 3, more than max_replica, 1",
        ),
    ],
)
def test_a_wrong_table_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        hosting(**changes)


def test_a_site_without_the_table_is_told_what_it_is_for():
    with pytest.raises(ConfigError, match=r"site 'rehearsal' has no table \[endpoints\]"):
        read_hosting({}, "rehearsal")


def test_a_model_that_the_study_lacks_is_named(api, study):
    with pytest.raises(ConfigError, match=r"endpoints.models.phi4: .*did you mean 'phi4-"):
        fleet(study, models={"phi4": TABLE["models"]["phi4-mini"]})


def test_names_stay_within_the_service_s_32_characters(api, study):
    import msgspec

    model = study.vocabulary.models["phi4-mini"]
    long = "a-model-with-a-name-that-is-long", "a-model-with-a-name-that-is-longer"
    vocabulary = msgspec.structs.replace(study.vocabulary, models=dict.fromkeys(long, model), pairings={})
    named = msgspec.structs.replace(
        study, name="a_study_with_a_name_that_is_long", vocabulary=vocabulary, plan=None, judges={}
    )
    fleet(named, models=dict.fromkeys(long, TABLE["models"]["phi4-mini"])).up()
    assert len(api.there) == 2
    assert max(map(len, api.there)) <= 32


@pytest.mark.parametrize(
    "body",
    [
        "<!doctype html><title>Log in</title>",
        "",
        "[1]",
        "null",
        '{"items": 3}',
        '{"items": [1]}',
        '{"items": [{"name": "x"}]}',
        "[" * 50_000,
    ],
)
def test_what_answers_for_the_service_and_is_none_is_one_line(api, study, body):
    api.guarded = (BASE,)
    api.faults.append(answer(200, body))
    with pytest.raises(ItemError, match="list the endpoints of lab") as raised:
        fleet(study).rows()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_token_that_the_service_repeats_is_struck(api, study, status):
    written = f"{TOKEN} {base64.b64encode(TOKEN.encode()).decode()} {TOKEN.encode().hex()}"
    api.guarded = (BASE,)
    api.faults.append(answer(status, {"error": f"no such {written}"}))
    with pytest.raises(ItemError) as raised:
        fleet(study).rows()
    assert not {*written.split()} & {*str(raised.value).split()}
    assert "[token]" in str(raised.value)


def test_what_is_no_token_is_refused_before_it_is_sent(api, study, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_é and more")
    with pytest.raises(ConfigError, match="HF_TOKEN does not hold a token"):
        fleet(study)
