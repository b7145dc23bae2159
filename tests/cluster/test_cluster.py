"""What a run on a cluster promises, on a real one."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter

import msgspec
import pytest

from builder.run.folder import Run
from tests.cluster.conftest import Head, ended
from tests.commands import REHEARSAL, VOICE, deepdialogue, kill, site, study, tree, wait_for
from tests.servers.s3 import BUCKET
from tests.servers.tgi import TGIServer

CHAT = "/v1/chat/completions"
LIMIT = 5


def speak(messages, _):
    """An answer that depends on what was said, and that nobody gave before."""
    return f"I am at number {abs(hash(tuple(message['content'] for message in messages))) % 10**9} now."


@pytest.fixture
def server():
    with TGIServer("any", speak) as one:
        one.takes_s = 0.05
        yield one


def on_ray(folder, address, models, workers=2, more=""):
    """A site on Ray."""
    return site(
        folder,
        f'engine = "ray"\n[ray]\naddress = "{address}"\nworkers = {workers}\n{more}\n{models}\n{VOICE}',
    )


def at(server):
    return f'[models."*"]\nbackend = "tgi"\nurl = "{server.url}"\nserved_as = "any"\nlimit = {LIMIT}\nattempts = 1\n'


def repeated(server):
    """How often something was asked again."""
    asked = Counter(msgspec.json.encode(body) for body in server.bodies(CHAT))
    return asked.total() - len(asked)


def said(folder):
    with Run(folder, writable=False) as run:
        return {dialogue.id: [turn.text for turn in dialogue.turns] for dialogue in run.dialogues}


@pytest.fixture
def alone(tmp_path, server):
    """The small study, and what one process makes of it."""
    what = study(tmp_path, dialogues_per_cell="12", pairings='["phi4-mini"]')
    here = site(tmp_path / "configs", at(server))
    for verb in ("plan", "generate"):
        done = deepdialogue(verb, what, "--site", here, "--run", "alone", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    server.seen.clear()
    server.peak = 0
    return what, said(tmp_path / "alone")


def test_a_cluster_makes_the_dataset_that_one_process_makes(head, tmp_path):
    measured = ("[splits]", "[measures.prosody]\n[splits]")
    what = study(tmp_path, edits=[measured], turns="{ min = 3, max = 3 }")
    here = site(tmp_path / "configs", REHEARSAL)
    there = on_ray(tmp_path, head.address, REHEARSAL.partition("[speech")[0], more="parts = 3")
    alone = deepdialogue(
        "build",
        what,
        "--site",
        here,
        "--run",
        "alone",
        "--out",
        "dist/alone",
        cwd=tmp_path,
        python=sys.executable,
    )
    assert alone.returncode == 0, alone.stderr
    made = head.run("build", what, "--site", there, "--run", "run", "--out", "dist/ray", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert tree(tmp_path / "dist/alone") == tree(tmp_path / "dist/ray")
    again = head.run("build", what, "--site", there, "--run", "run", "--out", "dist/ray", cwd=tmp_path)
    assert "nothing to do" in again.stderr
    assert again.returncode == 0
    beside = head.run("judge", "--run", "run", "--site", here, cwd=tmp_path)
    assert "run is a view of what is shared at" in beside.stderr
    assert beside.returncode == 1


def test_a_killed_worker_and_a_killed_driver_cost_the_calls_in_flight(head, tmp_path, server, alone):
    what, told = alone
    command = ["generate", what, "--site", on_ray(tmp_path, head.address, at(server)), "--run", "run"]
    driver = head.begin(*command, cwd=tmp_path)
    assert wait_for(lambda: server.counts()[CHAT] >= 20 and head.at_work(), driver)
    os.kill(head.at_work()[0], signal.SIGKILL)
    calls = server.counts()[CHAT]
    assert wait_for(lambda: server.counts()[CHAT] >= calls + 20, driver)
    kill(driver)
    done = head.run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "24 done, 0 done before" not in done.stderr
    assert said(tmp_path / "run") == told
    assert repeated(server) <= 2 * LIMIT
    assert server.peak <= LIMIT


def test_an_interruption_publishes_what_is_finished(head, tmp_path, server, alone):
    what, told = alone
    command = ["generate", what, "--site", on_ray(tmp_path, head.address, at(server)), "--run", "run"]
    for number in (signal.SIGTERM, signal.SIGINT):
        calls = server.counts()[CHAT]
        driver = head.begin(*command, cwd=tmp_path)
        assert wait_for(lambda before=calls: server.counts()[CHAT] >= before + 20, driver)
        driver.send_signal(number)
        done = ended(driver)
        assert done.returncode == 130, done.stderr
        assert "interrupted: what is finished is kept" in done.stderr
        assert "Traceback" not in done.stderr
    shutil.rmtree(head.place / "scratch")  # another machine goes on
    done = head.run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert said(tmp_path / "run") == told
    assert repeated(server) <= 2 * LIMIT


def test_a_dead_endpoint_is_one_line(head, tmp_path):
    dead = '[models."*"]\nbackend = "openai"\nurl = "http://127.0.0.1:9"\nattempts = 1\n'
    what = study(tmp_path)
    there = on_ray(tmp_path, head.address, dead)
    done = head.run("generate", what, "--site", there, "--run", "run", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.match(
        r"deepdialogue: error: \d of 8 parts failed, \d-of-8 with: GET http://127.0.0.1:9/.*", line
    )


def test_storage_that_is_away_for_a_while_costs_nothing(head, tmp_path, server, s3, alone):
    what, told = alone
    there = on_ray(tmp_path, head.address, at(server))
    driver = head.begin("generate", what, "--site", there, "--run", f"s3://{BUCKET}/away", cwd=tmp_path)
    assert wait_for(lambda: server.counts()[CHAT] >= 20, driver)
    s3.down = True
    asked = len(s3.seen)
    assert wait_for(lambda: len(s3.seen) >= asked + 12, driver)
    s3.stop()
    s3.down = False
    s3.start()
    done = ended(driver)
    assert done.returncode == 0, done.stderr
    assert "24 done" in done.stderr
    assert len(server.bodies(CHAT)) == sum(map(len, told.values()))


def test_a_killed_head_is_an_end_and_with_a_new_one_the_same_command_finishes(head, tmp_path, server, alone):
    what, told = alone
    command = ["generate", what, "--site", on_ray(tmp_path, head.address, at(server)), "--run", "run"]
    driver = head.begin(*command, cwd=tmp_path)
    assert wait_for(lambda: server.counts()[CHAT] >= 20, driver)
    head.kill()
    assert ended(driver).returncode == 1
    head.start()
    done = head.run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert said(tmp_path / "run") == told
    assert repeated(server) <= LIMIT


@pytest.fixture
def hosts():
    """Two hosts on one wire, as network namespaces: what runs a command in each, and their addresses."""
    names = [f"dd{os.getpid()}{end}" for end in "ab"]
    ends = [f"dd{os.getpid()}{end}" for end in "xy"]

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ip(
            "link",
            "add",
            ends[0],
            "netns",
            names[0],
            "type",
            "veth",
            "peer",
            "name",
            ends[1],
            "netns",
            names[1],
        )
        for number, (name, end) in enumerate(zip(names, ends, strict=True), start=1):
            ip("-n", name, "address", "add", f"10.213.0.{number}/24", "dev", end)
            for device in (end, "lo"):
                ip("-n", name, "link", "set", device, "up")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this machine makes no network namespaces: {error}")
    else:
        within = [["ip", "netns", "exec", name] for name in names]
        yield within, ["10.213.0.1", "10.213.0.2"], lambda: ip("-n", names[1], "link", "set", ends[1], "down")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def test_what_a_host_had_that_is_cut_off_the_other_takes_over(tmp_path, hosts):
    (first, second), (ours, theirs), cut = hosts
    what = study(tmp_path, dialogues_per_cell="12", pairings='["phi4-mini"]')
    checks = {"initial_delay": 500, "period": 500, "timeout": 500, "failure_threshold": 3}
    soon = {
        f"RAY_health_check_{name}" + ("" if name == "failure_threshold" else "_ms"): str(value)
        for name, value in checks.items()
    }
    head = Head(ours, first, **soon)
    slow = '[models."*"]\nbackend = "rehearsal"\nlatency_s = 0.2\nlimit = 4\n'
    try:
        head.start(cpus=1)
        head.join(theirs, second, cpus=1)
        there = on_ray(tmp_path, head.address, slow, more="parts = 4")
        driver = head.begin("generate", what, "--site", there, "--run", "run", cwd=tmp_path)
        assert wait_for(lambda: len(head.at_work()) == 2, driver)
        cut()
        done = ended(driver)
    finally:
        head.close()
    assert done.returncode == 0, done.stderr
    assert "its worker died or is not reached: whoever is free takes it over" in done.stderr
    with Run(tmp_path / "run", writable=False) as run:
        written = [line.id for ledger in run.dialogues.all for line in ledger.lines()]
        assert sorted(written) == sorted(run.scenarios.ids())
