"""What `export` promises: recordings that are the dialogue to the sample, in a folder that says what it is."""

import asyncio
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from builder.config import load_study
from builder.core.scenario import parse_id, split_of
from builder.core.speech import Take
from builder.core.verdict import Review, Verdict
from builder.dataset.export import METADATA, OPTIONS, Options, export
from builder.dataset.manifest import read_manifest
from builder.errors import ConfigError, DatasetError, RunError
from builder.files import hold
from builder.run.folder import Run
from builder.run.recorder import Recorder
from builder.run.work import Tally
from builder.stages.ingest import ingest
from builder.stages.package import package
from tests.commands import environment, tree
from tests.runs import RATE, held, laid, silences_of, small, speak

SAMPLE = Path(__file__).parents[2] / "shared" / "published-sample"
FIRST = "llama3-8B_gemma3-4B"
XTTS = Options(config="xtts")

needs_sample = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="the sample of published dialogues is not beside the checkout"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of eight spoken dialogues, two domains of two pairings, and what is packaged of it."""
    folder = tmp_path_factory.mktemp("made")
    with held(folder / "run", small(judges=())) as run:
        speak(run, run.dialogues)
        assert asyncio.run(package(run)).done == 8
    return folder


@pytest.fixture(scope="module")
def dialogues(made):
    with Run(made / "run", writable=False) as run:
        return {dialogue.id: dialogue for dialogue in run.dialogues}


@pytest.fixture(params=["run", "out"], ids=["a run", "a dataset"])
def source(made, request):
    return made / request.param


@pytest.fixture
def own(made, tmp_path):
    """A run that a test may harm."""
    return shutil.copytree(made / "run", tmp_path / "run")


def sound(out, id, suffix="flac"):
    samples, rate = soundfile.read(out / f"{id}.{suffix}", dtype="int16", always_2d=True)
    return samples, rate


def metadata(out):
    rows = [json.loads(line) for line in (out / METADATA).read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row for row in rows}


def heard(out):
    """Every file but the options and what is hidden."""
    return {
        name: data
        for name, data in tree(out).items()
        if name != OPTIONS and not name.rpartition("/")[2].startswith(".")
    }


def rttm(out, id):
    """Channel, first sample, number of samples and speaker of every line."""
    lines = []
    for line in (out / f"{id}.rttm").read_text().splitlines():
        kind, file, channel, onset, duration, *empty, speaker, _, _ = line.split(" ")
        assert (kind, file, empty) == ("SPEAKER", id, ["<NA>", "<NA>"])
        lines.append((int(channel), float(onset), float(duration), speaker))
    return lines


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# What is heard


@needs_sample
def test_every_published_dialogue_comes_out_as_its_published_full_recording(tmp_path):
    with Run(tmp_path / "run", load_study("published"), out=tmp_path / "out") as run:
        assert asyncio.run(ingest(run, SAMPLE)).failed == 0
        asyncio.run(package(run))
    for source, engine in (("run", "orpheus"), ("out", "xtts")):
        fulls = {
            f"{path.parents[1].name.removeprefix('dialogues_')}/{path.parent.name}": path
            for path in (SAMPLE / engine / "data").rglob("*_full.wav")
        }
        assert len(fulls) == 10
        assert export(tmp_path / source, tmp_path / engine, Options(config=engine)) == Tally(done=10)
        for id, path in fulls.items():
            samples, rate = sound(tmp_path / engine, id)
            assert rate == RATE
            assert np.array_equal(samples[:, 0], soundfile.read(path, dtype="int16")[0])


def test_mono_is_every_clip_with_its_silence_after_it(source, dialogues, tmp_path):
    assert export(source, tmp_path / "to", XTTS) == Tally(done=8)
    for id, dialogue in dialogues.items():
        samples, rate = sound(tmp_path / "to", id)
        assert rate == RATE
        assert np.array_equal(samples, laid(dialogue)[0].sum(axis=1, keepdims=True))


@pytest.mark.parametrize("kind", ["flac", "wav"])
def test_two_channels_have_a_speaker_each_and_digital_silence_while_the_other_speaks(
    source, dialogues, tmp_path, kind
):
    export(source, tmp_path / "to", Options(config="xtts", channels=2, format=kind))
    for id, dialogue in dialogues.items():
        samples, rate = sound(tmp_path / "to", id, kind)
        assert rate == RATE
        assert np.array_equal(samples, laid(dialogue)[0])
    assert len([*(tmp_path / "to").rglob(f"*.{kind}")]) == len(dialogues)
    info = soundfile.info(tmp_path / "to" / f"{id}.{kind}")
    assert (info.format, info.subtype) == (kind.upper(), "PCM_16")


def test_at_another_rate_the_channels_still_sum_to_mono_and_every_time_is_that_of_its_samples(
    source, dialogues, tmp_path
):
    for channels in (1, 2):
        options = Options(config="xtts", channels=channels, sampling_rate_hz=16_000)
        export(source, tmp_path / str(channels), options)
    for id, dialogue in dialogues.items():
        mono, rate = sound(tmp_path / "1", id)
        split, _ = sound(tmp_path / "2", id)
        assert rate == 16_000
        assert np.array_equal(split.sum(axis=1), mono[:, 0])
        full, edges = laid(dialogue)
        assert len(mono) == pytest.approx(len(full) * 2 / 3, abs=len(edges))
        row = metadata(tmp_path / "2")[id]
        assert row["duration"] == len(mono) / rate
        spoken = np.zeros(split.shape, bool)
        for turn, edge in zip(row["turns"], edges, strict=True):
            begin, end = round(turn["start"] * rate), round(turn["end"] * rate)
            assert (begin, end) == pytest.approx([one * 2 / 3 for one in edge], abs=len(edges))
            spoken[begin:end, int(turn["speaker"] == "LLM2")] = True
        assert not split[~spoken].any()
        assert (split[spoken] != 0).mean() > 0.99


def one_sound(folder, samples):
    """What a dialogue whose every turn is this sound is at 16,000 Hz, of shape (samples,)."""
    with held(folder / "run", small(judges=())) as run:
        dialogue = next(iter(run.dialogues))
        with Recorder(run.audio("xtts"), run.recorded("xtts")) as recorder:
            recorder.keep(
                dialogue.id,
                engine="signal",
                rehearsal=True,
                voices=("ann", "bob"),
                sampling_rate_hz=RATE,
                takes=[Take(samples, silence, "calm") for silence in silences_of(dialogue)],
            )
    export(folder / "run", folder / "to", Options(config="xtts", sampling_rate_hz=16_000))
    return sound(folder / "to", dialogue.id)[0][:, 0]


def test_a_tone_keeps_its_pitch_and_strength_at_another_rate(tmp_path):
    tone = np.round(8000 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype(np.int16)
    expected = 8000 * np.sin(2 * np.pi * 1000 * np.arange(2_000, 14_000) / 16_000)
    assert np.abs(one_sound(tmp_path, tone)[2_000:14_000] - expected).max() < 2


def test_sound_that_another_rate_would_push_beyond_full_scale_is_held_at_it(tmp_path):
    square = np.where(np.arange(RATE) // 60 % 2, 32767, -32768).astype(np.int16)
    samples = one_sound(tmp_path, square)[:16_000].astype(int)
    assert (samples.min(), samples.max()) == (-32768, 32767)
    assert np.abs(samples - np.where(np.arange(16_000) // 40 % 2, 32767, -32768)).mean() < 8000


# What is said about it


@pytest.mark.parametrize("channels", [1, 2])
def test_the_rttm_names_the_samples_of_every_turn_its_speaker_and_the_channel_it_is_heard_on(
    source, dialogues, tmp_path, channels
):
    export(source, tmp_path / "to", Options(config="xtts", channels=channels))
    for id, dialogue in dialogues.items():
        lines = rttm(tmp_path / "to", id)
        _, edges = laid(dialogue)
        assert len(lines) == len(dialogue.turns)
        for (channel, onset, duration, speaker), turn, (begin, end) in zip(
            lines, dialogue.turns, edges, strict=True
        ):
            assert speaker == turn.speaker
            assert channel == (1 if channels == 1 else ("LLM1", "LLM2").index(speaker) + 1)
            assert (round(onset * RATE), round((onset + duration) * RATE)) == (begin, end)


def test_the_metadata_says_of_every_file_what_the_dataset_says_of_the_dialogue(source, dialogues, tmp_path):
    export(source, tmp_path / "to", XTTS)
    rows = metadata(tmp_path / "to")
    assert list(rows) == sorted(dialogues)
    study = small(judges=())
    for id, dialogue in dialogues.items():
        full, edges = laid(dialogue)
        assert rows[id] == {
            "file_name": f"{id}.flac",
            "id": id,
            "split": split_of(id, study.splits, study.seed),
            "domain": dialogue.domain,
            "pairing": dialogue.pairing,
            "rehearsal": True,
            "first_voice": "ann",
            "second_voice": "bob",
            "duration": len(full) / RATE,
            "turns": [
                {
                    "speaker": turn.speaker,
                    "text": turn.text,
                    "emotion": turn.emotion,
                    "ravdess": "calm",
                    "start": begin / RATE,
                    "end": end / RATE,
                }
                for turn, (begin, end) in zip(dialogue.turns, edges, strict=True)
            ],
        }


def test_load_dataset_opens_it_as_a_folder_of_sound_with_its_turns(made, dialogues, tmp_path):
    pytest.importorskip(
        "torch", reason="`datasets` makes a folder of sound with torchcodec, of the extra 'torchcodec'"
    )
    import datasets

    export(made / "run", tmp_path / "to", XTTS)
    loaded = datasets.load_dataset(
        "audiofolder", data_dir=str(tmp_path / "to"), cache_dir=str(tmp_path / "cache"), split="train"
    ).cast_column("audio", datasets.Audio(decode=False))
    rows = {row["id"]: row for row in loaded}
    assert rows.keys() == dialogues.keys()
    for id, dialogue in dialogues.items():
        samples, _ = soundfile.read(rows[id]["audio"]["path"], dtype="int16")
        assert np.array_equal(samples, laid(dialogue)[0].sum(axis=1))
        assert [turn["text"] for turn in rows[id]["turns"]] == [turn.text for turn in dialogue.turns]
        assert rows[id]["turns"][1]["end"] == laid(dialogue)[1][1][1] / RATE


# What is taken


@pytest.mark.parametrize(
    ("selection", "has"),
    [
        ({"domains": ("travel",)}, lambda name, _: name.domain == "travel"),
        ({"domains": ("work", "travel")}, lambda *_: True),
        ({"pairings": (FIRST,)}, lambda name, _: name.pairing == FIRST),
        ({"splits": ("train",)}, lambda _, split: split == "train"),
        (
            {"splits": ("train",), "pairings": (FIRST,)},
            lambda name, split: split == "train" and name.pairing == FIRST,
        ),
    ],
)
def test_only_what_is_of_every_selection_is_taken(source, dialogues, tmp_path, selection, has):
    study = small(judges=())
    wanted = {id for id in dialogues if has(parse_id(id), split_of(id, study.splits, study.seed))}
    assert export(source, tmp_path / "to", Options(config="xtts", **selection)) == Tally(done=len(wanted))
    assert wanted
    assert metadata(tmp_path / "to").keys() == wanted
    assert {
        path.relative_to(tmp_path / "to").with_suffix("").as_posix()
        for path in (tmp_path / "to").rglob("*.flac")
    } == wanted


def test_of_a_dataset_no_sound_is_read_that_was_not_asked_for(made, dialogues, tmp_path, monkeypatch):
    read, groups = pq.ParquetFile.read_row_group, []

    def spied(file, number, columns=None):
        groups.append(columns)
        return read(file, number, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spied)
    export(made / "out", tmp_path / "to", Options(config="xtts", ids=(min(dialogues),)))
    assert groups.count(None) == 1
    assert groups.count(["id"]) > 1


def test_a_dialogue_is_taken_by_its_whole_id_or_by_the_part_after_the_slash_in_every_pairing(
    source, dialogues, tmp_path
):
    first, *others = sorted(dialogues)
    stem = others[-1].partition("/")[2]
    export(source, tmp_path / "to", Options(config="xtts", ids=(first, stem)))
    assert metadata(tmp_path / "to").keys() == {first, *(id for id in dialogues if id.endswith(f"/{stem}"))}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"domains": ("travl",)}, "is of domain 'travl': did you mean 'travel'?"),
        ({"pairings": ("phi4",)}, "is of pairing 'phi4': did you mean 'phi4-mini'?"),
        ({"splits": ("tran",)}, "is of split 'tran': did you mean 'train'?"),
        ({"ids": ("travel_1",)}, "is of id 'travel_1': did you mean 'travel_1_"),
        ({"config": "xtt"}, "has no recordings in config 'xtt': did you mean 'xtts'?"),
        ({"config": "text-only"}, "has no recordings in config 'text-only': known: 'xtts'"),
        ({"config": "xtts-turns"}, "has no recordings in config 'xtts-turns': known: 'xtts'"),
        ({"sampling_rate_hz": 44}, "export: key 'sampling_rate_hz' is 44: a whole number from 8000 to"),
        ({"channels": 3}, "export: key 'channels' is 3: "),
    ],
)
def test_an_option_that_fits_nothing_is_one_line_with_the_nearest_that_does(source, tmp_path, options, said):
    with pytest.raises(ConfigError) as refusal:
        export(source, tmp_path / "to", Options(**({"config": "xtts"} | options)))
    assert said in one_line(refusal)
    assert not (tmp_path / "to").exists()


def test_selections_that_no_dialogue_is_of_all_are_refused(source, dialogues, tmp_path):
    id = next(id for id in dialogues if parse_id(id).domain == "work")
    with pytest.raises(ConfigError, match="none of the 8 accepted dialogues"):
        export(source, tmp_path / "to", Options(config="xtts", domains=("travel",), ids=(id,)))


def test_of_a_judged_run_only_what_was_accepted_is_taken(tmp_path):
    with held(tmp_path / "run", small(judges=("length",))) as run:
        speak(run, run.dialogues)
        good, bad, *_ = run.dialogues.ids()
        for id, score in ((good, 1.0), (bad, 0.0)):
            verdict = Verdict(judge="length", scores={"length": score})
            run.reviews.append(id, Review(id=id, verdicts=(verdict,)))
    export(tmp_path / "run", tmp_path / "to", XTTS)
    assert list(metadata(tmp_path / "to")) == [good]


def test_a_folder_that_is_neither_run_nor_dataset_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"neither a run folder.*nor a packaged dataset"):
        export(tmp_path, tmp_path / "to", XTTS)


# Going on


def test_a_run_and_the_dataset_packaged_of_it_give_the_same_bytes(made, tmp_path):
    for name in ("run", "out"):
        export(made / name, tmp_path / name, Options(config="xtts", channels=2, sampling_rate_hz=16_000))
    assert heard(tmp_path / "run") == heard(tmp_path / "out")


def test_what_is_there_is_left_as_it_is_and_what_is_missing_is_made_again(source, dialogues, tmp_path):
    export(source, tmp_path / "to", XTTS)
    whole = heard(tmp_path / "to")
    first, second, *_ = sorted(dialogues)
    (tmp_path / "to" / f"{first}.flac").unlink()
    (tmp_path / "to" / f"{second}.rttm").unlink()
    before = {path: path.stat().st_ino for path in (tmp_path / "to").rglob("*.flac")}
    assert export(source, tmp_path / "to", XTTS) == Tally(done=2, skipped=6)
    after = {path: path.stat().st_ino for path in before}
    assert [path for path in before if before[path] != after[path]] == [tmp_path / "to" / f"{second}.flac"]
    assert heard(tmp_path / "to") == whole


def test_a_dialogue_that_the_run_has_since_spoken_is_added(dialogues, tmp_path):
    first, *rest = dialogues.values()
    with held(tmp_path / "run", small(judges=())) as run:
        speak(run, [first])
    assert export(tmp_path / "run", tmp_path / "to", XTTS) == Tally(done=1)
    with Run(tmp_path / "run") as run:
        speak(run, rest)
    assert export(tmp_path / "run", tmp_path / "to", XTTS) == Tally(done=7, skipped=1)
    assert metadata(tmp_path / "to").keys() == dialogues.keys()


KILLED = """
import os, sys
from pathlib import Path
from builder.dataset.export import Options, export
sync, calls = os.fsync, []
def fsync(fd):
    calls.append(fd)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), 9)
    sync(fd)
os.fsync = fsync
export(Path(sys.argv[1]), Path(sys.argv[2]), Options(config="xtts"))
"""


@pytest.mark.parametrize("moment", [1, 2, 9, 18])
def test_an_export_killed_at_any_moment_goes_on_to_the_same_bytes(made, tmp_path, moment):
    """There are 18 files: the options, eight dialogues with two each, and the metadata."""
    export(made / "run", tmp_path / "whole", XTTS)
    to = tmp_path / "to"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, made / "run", to, str(moment)],
        env=environment(),
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    assert not (to / METADATA).exists()
    for path in [path for path in to.rglob("*.flac") if not path.name.startswith(".")]:
        assert path.read_bytes() == (tmp_path / "whole" / path.relative_to(to)).read_bytes()
    tally = export(made / "run", to, XTTS)
    assert tally.done + tally.skipped == 8
    assert tally.done >= (moment < 18)
    assert heard(to) == heard(tmp_path / "whole")


def test_a_full_disk_is_an_error_that_leaves_nothing_half_written_and_the_next_run_goes_on(
    source, tmp_path, monkeypatch
):
    sync, calls = os.fsync, []

    def full(fd):
        calls.append(fd)
        if len(calls) > 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            export(source, tmp_path / "to", XTTS)
    assert not [*(tmp_path / "to").rglob("*.partial"), *(tmp_path / "to").glob(METADATA)]
    tally = export(source, tmp_path / "to", XTTS)
    assert tally.done + tally.skipped == 8
    export(source, tmp_path / "whole", XTTS)
    assert heard(tmp_path / "to") == heard(tmp_path / "whole")


# What a folder keeps to


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channels": 2}, "channels was 1 and is now 2"),
        ({"format": "wav"}, "format was 'flac' and is now 'wav'"),
        ({"sampling_rate_hz": 16_000}, "sampling_rate_hz was None and is now 16000"),
        ({"domains": ("travel",)}, "domains was () and is now ('travel',)"),
    ],
)
def test_other_options_in_the_same_folder_are_refused_by_what_differs(source, tmp_path, change, said):
    export(source, tmp_path / "to", XTTS)
    before = tree(tmp_path / "to")
    with pytest.raises(DatasetError) as refusal:
        export(source, tmp_path / "to", msgspec.structs.replace(XTTS, **change))
    assert said in one_line(refusal)
    assert tree(tmp_path / "to") == before


def test_the_same_selection_in_another_order_is_the_same(source, tmp_path):
    export(source, tmp_path / "to", Options(config="xtts", domains=("work", "travel")))
    again = Options(config="xtts", domains=("travel", "work", "travel"))
    assert export(source, tmp_path / "to", again) == Tally(skipped=8)


def test_another_source_in_the_same_folder_is_refused_though_its_ids_are_the_same(made, tmp_path):
    with held(tmp_path / "run", small(judges=()), words="I have always wondered") as run:
        speak(run, run.dialogues)
    for source in (tmp_path / "run", made / "out"):
        to = tmp_path / source.name / "to"
        export(made / "run", to, XTTS)
        with pytest.raises(
            DatasetError, match=r"source was .a run of study 'quickstart' whose dialogues begin with "
        ):
            export(source, to, XTTS)


@pytest.mark.parametrize("there", ["notes.txt", "README.md", "phi4-mini/travel_1_3.flac"])
def test_a_folder_of_something_else_is_left_alone(source, tmp_path, there):
    path = tmp_path / "to" / there
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(DatasetError, match="exists and is no export"):
        export(source, tmp_path / "to", XTTS)
    assert tree(tmp_path / "to") == {there: b"mine"}


def test_options_that_are_no_options_are_refused(source, tmp_path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / OPTIONS).write_text("{}")
    with pytest.raises(DatasetError, match="not the options of an export"):
        export(source, tmp_path / "to", XTTS)


def test_two_processes_that_export_to_one_folder_are_refused(source, tmp_path):
    (tmp_path / "to").mkdir()
    with ExitStack() as other:
        hold(tmp_path / "to" / ".lock", other)
        with pytest.raises(DatasetError, match="another process exports into"):
            export(source, tmp_path / "to", XTTS)


# Damage


def test_a_damaged_clip_is_named_and_left_out_and_owed_until_it_is_mended(own, dialogues, tmp_path, capsys):
    with Run(own, writable=False) as run:
        id = run.recordings["xtts"].ids()[3]
        clip = run.recordings["xtts"][id].clips[1]
    path = own / "audio/xtts" / clip.file
    whole = path.read_bytes()
    path.write_bytes(whole[: clip.offset] + b"\0" * clip.num_bytes + whole[clip.offset + clip.num_bytes :])
    assert export(own, tmp_path / "to", XTTS) == Tally(done=7, failed=1)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"export: {id}: ")]
    assert f"turn 2 of {id}, at byte {clip.offset} of {clip.file}: " in line
    assert metadata(tmp_path / "to").keys() == dialogues.keys() - {id}
    assert not (tmp_path / "to" / f"{id}.flac").exists()
    path.write_bytes(whole)
    assert export(own, tmp_path / "to", XTTS) == Tally(done=1, skipped=7)
    assert metadata(tmp_path / "to").keys() == dialogues.keys()


def test_an_audio_file_that_is_gone_is_one_line(own, tmp_path):
    (own / "audio/xtts/00000.flacs").unlink()
    with pytest.raises(RunError, match=r"00000\.flacs: No such file") as refusal:
        export(own, tmp_path / "to", XTTS)
    one_line(refusal)


@pytest.fixture
def edited(made, tmp_path):
    """A function that changes the rows of the first shard of a dataset made by hand, and says where it lies."""
    folder = shutil.copytree(made / "out", tmp_path / "dataset")
    shard = next(shard for shard in read_manifest(folder).shards if shard.config == "xtts")

    def edit(change):
        table = pq.read_table(folder / shard.path)
        rows = table.to_pylist()
        change(rows)
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / shard.path)
        return folder

    return edit


@pytest.mark.parametrize(
    "id",
    ["../../escaped", "phi4-mini/../../escaped_1_3", "/tmp/x_1_3", "a/b_1_3\n", ".hidden/travel_1_3", None],
)
def test_an_id_made_by_hand_never_becomes_a_path(edited, tmp_path, id):
    folder = edited(lambda rows: rows[0].update(id=id))
    before = tree(tmp_path)
    with pytest.raises(DatasetError) as refusal:
        export(folder, tmp_path / "deep/to", XTTS)
    assert "xtts/" in one_line(refusal)
    assert tree(tmp_path) == before


def test_a_dialogue_that_is_there_twice_is_refused(edited, tmp_path):
    folder = edited(lambda rows: rows.append(rows[0]))
    with pytest.raises(DatasetError, match="is in the dataset twice"):
        export(folder, tmp_path / "to", XTTS)


def turn(**changes):
    return lambda rows: rows[0]["turns"][1].update(changes)


def later(rows):
    for one in rows[0]["turns"]:
        one.update(start=one["start"] + 0.5, end=one["end"] + 0.5)
    rows[0]["duration"] += 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (turn(start=0.0), "clip 1 lasts"),
        (turn(end=900.0), "clip 2 lasts"),
        (later, "its first turn begins at 0.500 s"),
        (turn(start=float("nan")), "its row is damaged"),
        (turn(end=float("inf")), "its row is damaged"),
        (turn(speaker=7), "label 7 is a number without a name"),
        (turn(emotion=-1), "label -1 is a number without a name"),
        (turn(text=None), "its row is damaged"),
        (lambda rows: rows[0].update(turns=None), "its row is damaged"),
        (lambda rows: rows[0].update(duration=1e12), "it says it lasts 1000000000000.0 s"),
        (lambda rows: rows[0].update(duration=-1.0), "clip"),
        (lambda rows: rows[0]["turns"].pop(), "its row is damaged"),
        (lambda rows: rows[0]["audio"].pop(), "its row is damaged"),
        (lambda rows: rows[0]["audio"].clear(), "its 0 clips are at [] Hz"),
        (lambda rows: rows[0]["audio"][0].update(bytes=b""), "clip 1: 0 bytes that are not whole FLAC"),
        (lambda rows: rows[0]["audio"].reverse(), "clip 1 lasts"),
    ],
)
def test_a_row_that_contradicts_its_sound_is_named_in_one_line_and_the_rest_goes_on(
    edited, tmp_path, capsys, change, said
):
    named = []
    folder = edited(lambda rows: (named.append(rows[0]["id"]), change(rows)))
    assert export(folder, tmp_path / "to", XTTS) == Tally(done=7, failed=1)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "export: " in line]
    assert line.startswith(f"export: {named[0]}: ")
    assert said in line
    assert len(metadata(tmp_path / "to")) == 7


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:100],
        lambda _: b"",
        lambda data: data[:-300] + b"\xff" * 292 + data[-8:],
    ],
)
def test_a_shard_that_cannot_be_read_is_one_line_with_its_name(made, tmp_path, damage):
    folder = shutil.copytree(made / "out", tmp_path / "dataset")
    path = folder / next(shard for shard in read_manifest(folder).shards if shard.config == "xtts").path
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=re.escape(f"{path}: cannot be read: ")) as refusal:
        export(folder, tmp_path / "to", XTTS)
    one_line(refusal)


def test_a_shard_that_is_gone_is_one_line_with_its_name(made, tmp_path):
    folder = shutil.copytree(made / "out", tmp_path / "dataset")
    path = folder / next(shard for shard in read_manifest(folder).shards if shard.config == "xtts").path
    path.unlink()
    with pytest.raises(DatasetError, match=re.escape(f"{path}: cannot be read: ")) as refusal:
        export(folder, tmp_path / "to", XTTS)
    one_line(refusal)


def test_a_parquet_file_of_something_else_is_one_line(made, tmp_path):
    folder = shutil.copytree(made / "out", tmp_path / "dataset")
    path = folder / next(shard for shard in read_manifest(folder).shards if shard.config == "xtts").path
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DatasetError, match="cannot be read") as refusal:
        export(folder, tmp_path / "to", XTTS)
    one_line(refusal)
