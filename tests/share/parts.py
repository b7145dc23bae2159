"""Work on a part of a share as the stages do it, item by item, and what is published of it in the end."""

import json
import os
import signal
from pathlib import Path

from builder.core.part import Part
from builder.core.scenario import scenarios
from builder.records import encode
from builder.run.audio import decode, sha256_of
from builder.run.folder import Run
from builder.run.share import Share, _storage
from tests.runs import small, speak, spoken


def begun(url, study=None):
    """A share of a small study without judges, of which nothing is done yet."""
    share = Share(url)
    pin = {"study": study or small(judges=()), "rehearsal": {}, "formerly": ()}
    assert share.begin(encode(pin))
    return share


def owed(run):
    study = run.study
    return [
        one
        for one in scenarios(study.plan, study.vocabulary, study.seed)
        if run.takes(one.id) and one.id not in run.recorded("xtts")
    ]


def do(run, scenario, who):
    """Holds and speaks a dialogue; no two ever hold the same."""
    if scenario.id not in run.dialogues:
        run.dialogues.append(scenario.id, spoken(scenario, words=f"{who} says of {scenario.id}"))
    speak(run, [run.dialogues[scenario.id]])


def work(share, part, who, every=1, limit=None):
    with share.working(part) as desk, Run(desk.folder, part=part, desk=desk) as run:
        for count, scenario in enumerate(owed(run)[:limit], start=1):
            do(run, scenario, who)
            if count % every == 0:
                desk.publish()


def published(share, folder: Path):
    """Who held each dialogue; every dialogue and every recording is there once and whole, or the test fails."""
    share.pull(folder, audio=True)
    who, told = {}, {}
    for ledger in sorted(folder.glob("dialogues.*jsonl")):
        for line in map(json.loads, ledger.read_text().splitlines()[1:]):
            assert line["id"] not in who, f"{line['id']} is there twice"
            who[line["id"]] = line["turns"][0]["text"].partition(" ")[0]
    for ledger in sorted(folder.glob("recordings/*.jsonl")):
        for line in map(json.loads, ledger.read_text().splitlines()[1:]):
            assert line["id"] not in told, f"the recording of {line['id']} is there twice"
            told[line["id"]] = line["clips"]
    assert set(told) <= set(who)
    for clips in told.values():
        for clip in clips:
            file = folder / "audio/xtts" / clip["file"]
            flac = file.read_bytes()[clip["offset"] :][: clip["num_bytes"]]
            assert flac == share.clip(f"audio/xtts/{clip['file']}", clip["offset"], clip["num_bytes"])
            assert sha256_of(decode(flac)[0]) == clip["sha256"]
    return who, set(told)


def all_ids(part=None):
    study = small(judges=())
    ids = {one.id for one in scenarios(study.plan, study.vocabulary, study.seed)}
    return {id for id in ids if part is None or id in part}


def _kill_at(when, number):
    """Every object that is created counts."""
    created = 0

    def counting(create):
        def counted(self, name, content):
            nonlocal created
            created += 1
            if when == "before" and created == number:
                os.kill(os.getpid(), signal.SIGKILL)
            done = create(self, name, content)
            if when == "after" and created == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return counted

    for kind in (_storage._Folder, _storage._Bucket):
        kind.create = counting(kind.create)


def main(arguments):
    """Works on one part, as a process of its own.

    Args:
        arguments: URL, K/N, WHO and EVERY, after so many items it publishes; with `before` or `after` and a number it kills
            itself before or after it has created so many objects.
    """
    url, part, who, every, *when = arguments
    if when:
        _kill_at(when[0], int(when[1]))
    work(Share(url), Part.parse(part), who, int(every))
