"""What the command line promises of shared runs."""

import json

import pytest

from tests.commands import REHEARSAL, deepdialogue, environment, kill, site, study, tree, wait_for
from tests.processes import Verb
from tests.servers.s3 import KEYS

STAGES = ("generate", "judge", "synthesize")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study, a site, and the dataset that one process makes of them."""
    folder = tmp_path_factory.mktemp("whole")
    what, where = study(folder, dialogues_per_cell="2"), site(folder, REHEARSAL)
    made = deepdialogue("build", what, "--site", where, "--run", "run", "--out", "dist", cwd=folder)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def run(place, loopback, tmp_path, whole):
    """Runs one verb on a node, each with a scratch folder of its own."""
    keys = KEYS | {"AWS_ENDPOINT_URL": loopback.url, "AWS_MAX_ATTEMPTS": "1"}

    def start(*arguments, node="one"):
        return Verb(
            arguments, tmp_path, environment() | keys | {"DEEPDIALOGUE_SCRATCH": str(tmp_path / node)}
        )

    def finish(*arguments, node="one", status=0):
        process = start(*arguments, node=node)
        said = process.communicate()[0]
        assert process.returncode == status, said
        for key in KEYS.values():
            assert key == "us-east-1" or key not in said
        return said

    finish.start = start
    finish.url = place.url if "://" in place.url else f"file://{place.url}"
    return finish


def test_parts_on_several_nodes_one_killed_and_one_lost_make_the_bytes_that_one_process_makes(
    run, whole, tmp_path
):
    slow = site(tmp_path, REHEARSAL.replace('"rehearsal"', '"rehearsal"\nlatency_s = 0.02'))
    first = [whole / "configs/quickstart.toml", "--run", run.url, "--part"]
    for verb in STAGES:
        where = ["--site", slow if verb == "generate" else whole / "site.toml"]
        one = run.start(verb, *first, "1/2", *where)
        if verb == "generate":
            begun = wait_for(lambda: next(tmp_path.glob("one/*/1-of-2/turns.*.jsonl"), None), one)
            assert begun, one.communicate()
            kill(one)
        else:
            assert one.wait() == 0, one.communicate()
            one.communicate()
        run(verb, *first, "2/2", *where, node="two")
        run(verb, *first, "1/2", *where, node="three" if verb == "judge" else "one")
    run("judge", *first, "1/2", "--site", whole / "site.toml")
    said = run("pull", run.url, "view", "--audio")
    assert "pull: 2 parts" in said
    run("package", "--run", "view", "--out", "dist")
    assert tree(tmp_path / "dist") == tree(whole / "dist")
    # A verb that only reads takes the URL as well.
    run("package", "--run", run.url, "--out", "again")
    assert tree(tmp_path / "again") == tree(whole / "dist")
    said = ["".join(run("status", where).split()).partition("study")[2] for where in ("view", run.url)]
    assert said[0] == said[1] != ""
    run("export", run.url, "--config", "xtts", "--out", "exported", node="four")
    assert len(list((tmp_path / "exported").rglob("*.flac"))) == 8
    assert not list(tmp_path.glob("four/*/view/audio"))
    first = json.loads((tmp_path / "view/dialogues.2-of-2.000001.jsonl").read_bytes().splitlines()[1])
    assert first["turns"][0]["text"] in " ".join(run("show", run.url, first["id"]).split())


def test_what_cannot_be_done_to_a_shared_run_is_one_line_with_the_repair(run, whole):
    what, where = whole / "configs/quickstart.toml", whole / "site.toml"
    said = run("generate", what, "--site", where, "--run", run.url, status=1)
    assert "generate works on a shared run by parts: --part K/N, --part 1/1 for all of it" in said
    said = run("status", run.url, status=1)
    assert "no run is shared there: it has no run.json" in said
    for verb in ("decide", "listen"):
        said = run(verb, run.url, status=2)
        assert "`deepdialogue pull URL RUN` first" in said
    said = run("generate", "--site", where, "--run", run.url, "--part", "1/2", status=1)
    assert "no run is shared there" in said
    said = run("pull", "s3://AKIA5ECRETKEY:5ecret@runs/x", "view", status=1)
    assert "credentials come from the environment" in said
    assert "5ecret" not in said
    run("generate", what, "--site", where, "--run", run.url, "--part", "1/2")
    assert "--out is not given: name the folder for the report" in run("report", run.url, status=1)
    said = run("generate", "deepdialogue", "--site", where, "--run", run.url, "--part", "1/2", status=1)
    assert "is pinned to another study" in said
