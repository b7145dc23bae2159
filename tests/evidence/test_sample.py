"""What the sample promises: the seed draws it, it shows both outcomes, and its sound keeps to its size."""

import pytest

from builder.core.scenario import parse_id
from builder.evidence import Options
from builder.evidence.findings import Absent, gather
from builder.evidence.findings.sample import find
from tests.evidence.judging import broken, judged, review, study
from tests.runs import speak


def one_in_four_broken(dialogue):
    return broken(dialogue) if parse_id(dialogue.id).index == 1 else review(dialogue)


@pytest.fixture
def run(tmp_path):
    with judged(tmp_path / "run", study(4), one_in_four_broken) as opened:
        speak(opened, [one for one in opened.dialogues if parse_id(one.id).index > 2])
        yield opened


def ids(run, **options):
    return [one.dialogue.id for one in find(gather(run, Options(**options))).excerpts]


def outcomes(run, **options):
    return [one.said[0].partition(":")[0] for one in find(gather(run, Options(**options))).excerpts]


def test_half_are_accepted_and_half_are_not_as_far_as_there_are_such(run):
    assert sorted(outcomes(run, sample=6)) == ["accepted"] * 3 + ["rejected"] * 3
    assert sorted(outcomes(run, sample=12)) == ["accepted"] * 8 + ["rejected"] * 4
    assert sorted(outcomes(run, sample=100)) == ["accepted"] * 12 + ["rejected"] * 4


def test_the_seed_draws_it_and_a_smaller_one_is_part_of_a_larger(run, tmp_path):
    assert ids(run, sample=6) == ids(run, sample=6)
    assert set(ids(run, sample=4)) < set(ids(run, sample=6))
    with judged(tmp_path / "other", study(4, seed=run.study.seed + 1), one_in_four_broken) as other:
        names = {id.rpartition("_")[0] for id in ids(other, sample=6)}
    assert names != {id.rpartition("_")[0] for id in ids(run, sample=6)}


def test_what_is_spoken_can_be_heard_whole_and_what_has_no_room_is_said(run):
    found = find(gather(run, Options(sample=16)))
    spoken = [one for one in found.excerpts if one.clips]
    assert len(spoken) == 8
    assert all(len(one.clips) == len(one.dialogue.turns) for one in spoken)
    assert all(clip[:4] == b"fLaC" for one in spoken for clip in one.clips)
    assert all(one.said[-1] == "heard here: xtts, noise, ann and bob" for one in spoken)
    size = max(sum(map(len, one.clips)) for one in spoken)
    small = find(gather(run, Options(sample=16, audio_mb=1.5 * size / 1e6)))
    kept = [one for one in small.excerpts if one.clips]
    assert 0 < len(kept) < 8
    assert sum(len(clip) for one in kept for clip in one.clips) <= 1.5 * size
    assert f"{8 - len(kept)} more are spoken and were left out" in small.says
    assert len(small.excerpts) == 16, "what cannot be heard can be read"
    assert not any(one.clips for one in find(gather(run, Options(audio_mb=0))).excerpts)


def test_every_vote_stands_with_the_dialogue(run):
    excerpts = find(gather(run, Options(sample=16))).excerpts
    rejected = next(one for one in excerpts if one.said[0].startswith("rejected"))
    assert rejected.said[0] == "rejected: length"
    assert "length: length 0 – too long" in rejected.said
    accepted = next(one for one in excerpts if one.said[0] == "accepted")
    assert "passed length, duplicate" in accepted.said
    assert "rubric-qwen: coherence 4, naturalness 4, emotion 4 – so it seems" in accepted.said


def test_no_sample_is_said(run):
    assert isinstance(find(gather(run, Options(sample=0))), Absent)
