"""What ingesting published data promises: kept as it is, or refused by name."""

import asyncio
import errno
import json
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.config import Speech, load_study
from builder.core.speech import join
from builder.errors import ConfigError, RunError, SourceError
from builder.run.audio import AudioFiles, decode, sha256_of
from builder.run.folder import Run
from builder.run.work import Tally
from builder.stages.ingest import ingest
from tests.published import (
    ENGINES,
    FINANCE,
    LLAMA,
    PAIRING,
    QWEN,
    RATE,
    TRAVEL,
    TURNS,
    edit,
    full_of,
    joined,
    noise,
    publish,
    read,
    segments_of,
    text_of,
    write,
)

SAMPLE = Path(__file__).parents[3] / "shared" / "published-sample"
TEXTS = sorted(SAMPLE.glob("*/data/dialogues_*/*.json"))
REVISION = "495f39366efef23836d0cfae4fbe635880d2be31"
CACHE = f"/cache/hub/models--Qwen--Qwen2.5-72B-Instruct/snapshots/{REVISION}"

needs_sample = pytest.mark.skipif(not TEXTS, reason="the published sample is not beside this checkout")


def opened(folder):
    return Run(folder, load_study("published"))


def take_in(folder, source):
    """The tally, and the failures by id, of one ingestion."""
    with opened(folder) as run:
        tally = asyncio.run(ingest(run, source))
        return tally, {failure.id: failure.message for failure in run.failures.of("ingest")}


def sounds(run, engine, dialogue):
    """What a run holds of a recording: the samples of its clips and the silences after them."""
    recording = run.recorded(engine)[dialogue]
    audio = run.audio(engine)
    clips = []
    for clip in recording.clips:
        samples, rate = decode(audio.read(clip.file, clip.offset, clip.num_bytes))
        assert (len(samples), rate, sha256_of(samples)) == (clip.num_samples, RATE, clip.sha256)
        clips.append(samples)
    return clips, [clip.pause_samples for clip in recording.clips]


def heard(run, engine, dialogue):
    """The same as a list that can be compared."""
    return [
        (clip.sha256, clip.num_samples, clip.pause_samples, clip.ravdess)
        for clip in run.recorded(engine)[dialogue].clips
    ]


def name_of(text):
    """Engine and id of a published JSON."""
    return text.parents[2].name, f"{text.parent.name.removeprefix('dialogues_')}/{text.stem}"


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """The folder of a run that ingested the published sample."""
    folder = tmp_path_factory.mktemp("taken") / "run"
    assert take_in(folder, SAMPLE) == (Tally(done=20), {})
    return folder


@needs_sample
def test_every_published_text_is_kept_byte_for_byte_with_its_emotions_and_time(taken):
    assert len(TEXTS) == 20
    with opened(taken) as run:
        assert len(run.dialogues) == 10
        for path in TEXTS:
            published = json.loads(path.read_bytes())
            kept = run.dialogues[name_of(path)[1]]
            assert kept.domain == published["domain"].replace(" ", "_")
            assert kept.timestamp == published["timestamp"]
            assert not kept.rehearsal
            assert [
                {"speaker": turn.speaker, "text": turn.text, "emotion": turn.emotion} for turn in kept.turns
            ] == published["conversation"]


@needs_sample
def test_every_published_clip_is_kept_to_the_sample_and_joins_to_the_full_recording(taken):
    with opened(taken) as run:
        for path in TEXTS:
            engine, dialogue = name_of(path)
            clips, silences = sounds(run, engine, dialogue)
            for clip, segment in zip(clips, segments_of(SAMPLE, engine, dialogue), strict=True):
                assert np.array_equal(clip, read(segment))
            assert np.array_equal(join(clips, silences), read(full_of(SAMPLE, engine, dialogue)))


@needs_sample
def test_both_the_emotion_and_the_acted_class_of_every_turn_are_kept(taken):
    with opened(taken) as run:
        for path in TEXTS:
            engine, dialogue = name_of(path)
            recording = run.recorded(engine)[dialogue]
            acted = [segment.stem.split("_")[2] for segment in segments_of(SAMPLE, engine, dialogue)]
            assert [clip.ravdess for clip in recording.clips] == acted
            assert (recording.first_voice, recording.second_voice) == ("unknown", "unknown")
            assert recording.engine == {"xtts": "XTTS-v2", "orpheus": "Orpheus"}[engine] + " (published)"
        disappointed = run.dialogues[f"{PAIRING}/movies_55_6"].turns[0].emotion
        assert (disappointed, run.recorded("xtts")[f"{PAIRING}/movies_55_6"].clips[0].ravdess) == (
            "disappointed",
            "disgust",
        )


@needs_sample
def test_hub_ids_are_recovered_from_the_paths_of_cached_models(taken):
    with opened(taken) as run:
        spoke = {id: run.dialogues[id].first_checkpoint for id in run.dialogues.ids()}
    assert spoke["qwen2.5-72B/art_22_4"] == f"{QWEN}@{REVISION}"
    assert set(spoke.values()) == {f"{QWEN}@{REVISION}", QWEN, LLAMA, "microsoft/Phi-4-mini-instruct"}


@needs_sample
def test_full_recordings_alone_give_the_very_clips_of_the_published_segments(taken, tmp_path):
    shutil.copytree(SAMPLE, tmp_path / "source", ignore=shutil.ignore_patterns("segments"))
    assert take_in(tmp_path / "run", tmp_path / "source") == (Tally(done=20), {})
    with opened(taken) as whole, opened(tmp_path / "run") as cut:
        for path in TEXTS:
            assert heard(cut, *name_of(path)) == heard(whole, *name_of(path))


@needs_sample
def test_a_second_run_over_the_published_sample_does_nothing(taken):
    before = {path: path.read_bytes() for path in taken.rglob("*") if path.is_file()}
    assert take_in(taken, SAMPLE) == (Tally(skipped=20), {})
    assert {path: path.read_bytes() for path in taken.rglob("*") if path.is_file()} == before


@pytest.fixture
def source(tmp_path):
    """Two dialogues, each spoken by both engines."""
    for dialogue in (TRAVEL, FINANCE):
        publish(tmp_path / "source", dialogue)
    return tmp_path / "source"


def test_segments_alone_are_joined_with_the_pauses_of_the_rule(source, tmp_path):
    for engine in ENGINES:
        full_of(source, engine, FINANCE).unlink()
    assert take_in(tmp_path / "run", source) == (Tally(done=4), {})
    with opened(tmp_path / "run") as run:
        for engine in ENGINES:
            clips, silences = sounds(run, engine, FINANCE)
            segments = [read(path) for path in segments_of(source, engine, FINANCE)]
            assert np.array_equal(join(clips, silences), joined([turn[1] for turn in TURNS], segments))


def test_silences_off_the_rule_are_kept_as_they_were_published(source, tmp_path):
    full = full_of(source, "xtts", TRAVEL)
    clips = [read(path) for path in segments_of(source, "xtts", TRAVEL)]
    write(full, join(clips, [4798, 7199, 12001]))
    assert take_in(tmp_path / "run", source) == (Tally(done=4), {})
    with opened(tmp_path / "run") as run:
        assert sounds(run, "xtts", TRAVEL)[1] == [4798, 7199, 12001]


def test_a_text_is_not_touched_whatever_is_in_it(source, tmp_path):
    texts = ["  “Cafe\u0301” \t", "Über\u00a0Straße\n\n🙂 LLM1: hi", "\u0000\\n<b>&amp;</b> "]
    turns = [
        {"speaker": turn[0], "text": text, "emotion": turn[2]}
        for turn, text in zip(TURNS, texts, strict=False)
    ]
    publish(source, TRAVEL, conversation=turns)
    assert take_in(tmp_path / "run", source) == (Tally(done=4), {})
    with opened(tmp_path / "run") as run:
        assert [turn.text for turn in run.dialogues[TRAVEL].turns] == texts


def test_an_acted_class_that_is_not_the_emotions_own_is_kept_for_it_is_what_was_acted(source, tmp_path):
    segment = segments_of(source, "xtts", TRAVEL)[1]
    segment.rename(segment.with_name("002_LLM2_angry.wav"))
    assert take_in(tmp_path / "run", source) == (Tally(done=4), {})
    with opened(tmp_path / "run") as run:
        assert [clip.ravdess for clip in run.recorded("xtts")[TRAVEL].clips] == ["neutral", "angry", "sad"]
        assert [clip.ravdess for clip in run.recorded("orpheus")[TRAVEL].clips] == ["neutral", "happy", "sad"]


def test_an_interrupted_run_goes_on_where_it_stopped(source, tmp_path, monkeypatch):
    for index in range(3, 9):
        publish(source, f"{PAIRING}/art_{index}_3")
    with monkeypatch.context() as patch:
        append, left = AudioFiles.append, iter(range(13))

        def full_disk(self, flac):
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, "No space left on device")
            return append(self, flac)

        patch.setattr(AudioFiles, "append", full_disk)
        with pytest.raises(OSError, match="No space left"):
            take_in(tmp_path / "run", source)
    with opened(tmp_path / "run") as run:
        kept = len(run.recorded("orpheus"))
        assert 0 < kept < 8
    tally, failures = take_in(tmp_path / "run", source)
    assert (tally, failures) == (Tally(done=16 - kept, skipped=kept), {})
    with opened(tmp_path / "run") as run:
        assert [
            len(list(ledger.lines()))
            for ledger in (run.dialogues.own, *(kept.own for kept in run.recordings.values()))
        ] == [
            8,
            8,
            8,
        ]
        for engine in ENGINES:
            for dialogue in run.dialogues.ids():
                clips, silences = sounds(run, engine, dialogue)
                assert np.array_equal(join(clips, silences), read(full_of(source, engine, dialogue)))


def test_a_text_lost_in_a_power_cut_is_taken_in_again_and_its_recordings_are_not(source, tmp_path):
    take_in(tmp_path / "run", source)
    ledger = tmp_path / "run" / "dialogues.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[:-20])
    assert take_in(tmp_path / "run", source) == (Tally(done=1, skipped=3), {})
    assert ledger.read_bytes() == whole
    with opened(tmp_path / "run") as run:
        assert [len(list(recorded.own.lines())) for recorded in run.recordings.values()] == [2, 2]


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def swap(first, second):
    first.rename(first.with_suffix(".tmp"))
    second.rename(first)
    first.with_suffix(".tmp").rename(second)


def only_full(source, clips):
    """Leaves a full recording of these clips."""
    publish(source, TRAVEL, ["xtts"], clips=clips)
    shutil.rmtree(segments_of(source, "xtts", TRAVEL)[0].parent)


def breathless(seed):
    """A clip that falls silent inside for as long as turns are apart."""
    return np.concatenate([noise(seed, 900), np.zeros(RATE * 3 // 10, np.int16), noise(seed + 1, 900)])


def resampled(source):
    segment = segments_of(source, "xtts", TRAVEL)[1]
    write(segment, read(segment), 16_000)


def longer(published):
    published["conversation"].append({"speaker": "LLM2", "text": "Bye.", "emotion": "sad"})


def segment(number, damage):
    return lambda source: damage(segments_of(source, "xtts", TRAVEL)[number - 1])


def full(damage):
    return lambda source: damage(full_of(source, "xtts", TRAVEL))


def text(damage):
    return lambda source: damage(text_of(source, "xtts", TRAVEL))


def key(change):
    return text(lambda path: edit(path, change))


def turn(number, **keys):
    return key(lambda published: published["conversation"][number - 1].update(keys))


def renamed(name):
    return lambda path: path.rename(path.with_name(name))


def html(path):
    path.write_text("<!DOCTYPE html><title>429 Too Many Requests</title>")


DAMAGED_SOUND = {
    "a truncated segment": (segment(2, cut_off), "002_LLM2_happy.wav: cut off"),
    "a truncated full recording": (full(cut_off), "travel_1_3_full.wav: cut off"),
    "a page in place of a segment": (segment(1, html), "001_LLM1_neutral.wav: not a WAV file"),
    "a silent segment": (
        segment(3, lambda path: write(path, np.zeros(900, np.int16))),
        "003_LLM1_sad.wav: silent",
    ),
    "a stereo segment": (
        segment(3, lambda path: write(path, np.ones((900, 2), np.int16))),
        "003_LLM1_sad.wav: ",
    ),
    "a segment at another rate": (resampled, "002_LLM2_happy.wav: at 16000 Hz"),
    "the first segment missing": (segment(1, Path.unlink), "'002_LLM2_happy.wav' where 001_LLM1_<class>.wav"),
    "a middle segment missing": (segment(2, Path.unlink), "'003_LLM1_sad.wav' where 002_LLM2_<class>.wav"),
    "the last segment missing": (segment(3, Path.unlink), "segments: has 2 clips for 3 turns"),
    "a segment too many": (
        segment(3, lambda path: shutil.copy(path, path.with_name("004_LLM2_sad.wav"))),
        "segments: has 4 clips for 3 turns",
    ),
    "two segments swapped": (
        lambda source: swap(*segments_of(source, "xtts", TRAVEL)[:2]),
        "full.wav: clip 1 is not where",
    ),
    "a segment of the other speaker": (
        segment(2, renamed("002_LLM1_happy.wav")),
        "'002_LLM1_happy.wav' where 002_LLM2_<class>.wav",
    ),
    "an unknown acted class": (
        segment(2, renamed("002_LLM2_happpy.wav")),
        "'happpy' is unknown: did you mean 'happy'?",
    ),
    "a gap in the numbers": (
        segment(3, renamed("005_LLM1_sad.wav")),
        "'005_LLM1_sad.wav' where 003_LLM1_<class>.wav",
    ),
    "a segment of another name": (segment(2, renamed("002.wav")), "'002.wav' where 002_LLM2_<class>.wav"),
    "a full recording of other clips": (
        full(lambda path: write(path, np.roll(read(path), 5))),
        "full.wav: clip 1 is not where",
    ),
    "an ambiguous silence": (
        lambda source: only_full(source, [noise(1, 900), breathless(2), noise(3, 900)]),
        "full.wav: its silences fit its 3 turns in more than one way",
    ),
    "a full recording without its pauses": (
        lambda source: only_full(source, [np.concatenate([noise(1, 900), np.zeros(12_000, np.int16)])] * 3),
        "full.wav: ",
    ),
    "a full recording that is silent": (
        lambda source: only_full(source, [np.zeros(900, np.int16)] * 3),
        "full.wav: silent",
    ),
    "no sound at all": (
        text(lambda path: shutil.rmtree(path.with_suffix(""))),
        "travel_1_3: has neither travel_1_3_full.wav nor segments/*.wav",
    ),
}

DAMAGED_TEXT = {
    "no text": (text(Path.unlink), "travel_1_3.json: there is no such file"),
    "a page in place of JSON": (text(html), "travel_1_3.json: not JSON"),
    "JSON cut off": (text(cut_off), "travel_1_3.json: not JSON"),
    "JSON that is not UTF-8": (text(lambda path: path.write_bytes(b'{"domain": "\xff"}')), "not JSON"),
    "JSON without end": (text(lambda path: path.write_bytes(b"[" * 100_000)), "not JSON"),
    "an empty file": (text(lambda path: path.write_bytes(b"")), "not JSON"),
    "JSON of another shape": (text(lambda path: path.write_bytes(b"[1]")), "travel_1_3.json: "),
    "an unknown key": (
        key(lambda published: published.update(domian="travel")),
        "'domian': did you mean 'domain'?",
    ),
    "a missing key": (key(lambda published: published.pop("model2")), "missing key 'model2'"),
    "a text that is a number": (turn(2, text=4), "key 'conversation[1].text' is 4"),
    "an unknown domain": (
        key(lambda published: published.update(domain="travels")),
        "key 'domain' is 'travels', which is unknown: did you mean 'travel'?",
    ),
    "a domain that leads out": (
        key(lambda published: published.update(domain="../../travel")),
        "key 'domain' is '../../travel', which is unknown",
    ),
    "the domain of another dialogue": (
        key(lambda published: published.update(domain="social media")),
        "key 'domain' is 'social media', its name says 'travel'",
    ),
    "a turn too many": (key(longer), "key 'conversation' has 4 turns, its name says 3"),
    "a turn of the other speaker": (
        turn(2, speaker="LLM1"),
        "key 'conversation[1].speaker' is 'LLM1': turn 2 is for 'LLM2'",
    ),
    "an unknown speaker": (turn(2, speaker="LLM3"), "key 'conversation[1].speaker' is 'LLM3'"),
    "an unknown emotion": (
        turn(2, emotion="exited"),
        "key 'conversation[1].emotion' is 'exited', which is unknown: did you mean 'excited'?",
    ),
    "a model that is no Hub id": (
        key(lambda published: published.update(model1="/models/llama")),
        "key 'model1' is '/models/llama', no model of the Hub",
    ),
    "a cached model that leads out": (
        key(lambda published: published.update(model1="models--..--x/snapshots/495f393")),
        "key 'model1' is 'models--..--x/snapshots/495f393', no model of the Hub",
    ),
    "the models the other way round": (
        key(lambda published: published.update(model1=QWEN, model2=LLAMA)),
        f"key 'model1' is '{QWEN}', that is 'qwen2.5-72B', but 'llama3-70B' speaks there",
    ),
    "another text than the other engine's": (
        turn(3, text="I miss it."),
        "key 'conversation[2].text' is 'I miss it.', but was 'I miss it' when",
    ),
    "another emotion than the other engine's": (
        turn(3, emotion="sad"),
        "key 'conversation[2].emotion' is 'sad'",
    ),
    "another checkpoint than the other engine's": (
        key(lambda published: published.update(model2=CACHE)),
        f"key 'model2' is '{QWEN}@{REVISION}', but was '{QWEN}' when",
    ),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGED_SOUND.values(), ids=DAMAGED_SOUND)
def test_a_damaged_recording_is_refused_by_name_and_its_text_and_the_rest_are_kept(
    source, tmp_path, damage, words
):
    shutil.rmtree(source / "orpheus")
    damage(source)
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=1, failed=1)
    assert list(failures) == [f"xtts:{TRAVEL}"]
    assert words in failures[f"xtts:{TRAVEL}"]
    assert "\n" not in failures[f"xtts:{TRAVEL}"]
    with opened(tmp_path / "run") as run:
        assert sorted(run.dialogues.ids()) == [FINANCE, TRAVEL]
        assert run.recorded("xtts").ids() == [FINANCE]


@pytest.mark.parametrize(("damage", "words"), DAMAGED_TEXT.values(), ids=DAMAGED_TEXT)
def test_a_damaged_text_is_refused_by_name_with_its_recording_and_the_rest_is_kept(
    source, tmp_path, damage, words
):
    damage(source)
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=3, failed=1)
    assert list(failures) == [f"xtts:{TRAVEL}"]
    assert words in failures[f"xtts:{TRAVEL}"]
    assert "travel_1_3.json" in failures[f"xtts:{TRAVEL}"]
    assert "\n" not in failures[f"xtts:{TRAVEL}"]
    with opened(tmp_path / "run") as run:
        assert [turn.text for turn in run.dialogues[TRAVEL].turns] == [turn[1] for turn in TURNS[:3]]
        assert sorted(run.recorded("orpheus").ids()) == [FINANCE, TRAVEL]
        assert run.recorded("xtts").ids() == [FINANCE]


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_text_is_taken_in_with_any_byte_order_mark(source, tmp_path, coding):
    path = text_of(source, "xtts", TRAVEL)
    path.write_bytes(path.read_text(encoding="utf-8").encode(coding))
    assert take_in(tmp_path / "run", source) == (Tally(done=4), {})


def test_what_a_system_leaves_beside_everything_is_not_looked_at(source, tmp_path):
    folders = [source, *(path for path in source.rglob("*") if path.is_dir())]
    for path in [path for path in source.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7Mac OS X")
    for folder in folders:
        for name in (".DS_Store", "Thumbs.db", ".nfs0001", "._.parquet", "._.json", "._x_full.wav"):
            (folder / name).write_bytes(b"\0")
        for name in ("@eaDir", ".ipynb_checkpoints", "__MACOSX", "lost+found"):
            (folder / name / "data" / "dialogues_x").mkdir(parents=True)
            (folder / name / "travel_1_3.json").write_bytes(b"{}")
    assert take_in(tmp_path / "run", source) == (Tally(done=4), {})


def test_sound_that_was_written_to_a_pipe_is_taken_in_whole(source, tmp_path):
    take_in(tmp_path / "before", source)
    for path in [*segments_of(source, "xtts", TRAVEL), full_of(source, "xtts", TRAVEL)]:
        data = bytearray(path.read_bytes())
        data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
        path.write_bytes(data)
    assert take_in(tmp_path / "run", source) == (Tally(done=4), {})
    with opened(tmp_path / "run") as run, opened(tmp_path / "before") as before:
        assert heard(run, "xtts", TRAVEL) == heard(before, "xtts", TRAVEL)


def test_rows_that_are_damaged_are_recorded_by_name_and_the_rest_goes_on_until_they_are_mended(
    source, tmp_path
):
    path = source / "xtts/data/train.parquet"
    path.write_bytes(b"PAR1")
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=4, failed=1)
    assert "train.parquet: not whole rows of text" in failures["xtts:train.parquet"]
    path.unlink()
    pq.write_table(pa.table({"audio": [b"x"]}), path)
    assert take_in(tmp_path / "run", source)[0] == Tally(skipped=4)
    with opened(tmp_path / "run") as run:
        assert run.failures.unresolved("ingest") == []


def test_what_may_not_or_cannot_be_opened_is_refused_by_name_and_the_rest_is_taken_in(source, tmp_path):
    shutil.rmtree(source / "orpheus")
    folder = text_of(source, "xtts", TRAVEL).parent
    for path in (folder / "round.json", folder / "round"):
        path.symlink_to(path)
    (folder.parent / "dialogues_round").symlink_to("dialogues_round")
    os.mkdir(os.fsencode(folder) + b"/caf\xe9_1_3")  # noqa: PTH102
    (folder / f"{'travel_' + '1' * 240}_3.json").write_text("{}")
    tally, failures = take_in(tmp_path / "run", source)
    assert (tally.done, tally.failed) == (2, len(failures)) == (2, 3)
    assert all("\n" not in message for message in failures.values())


def test_a_pairing_of_one_model_cannot_have_been_spoken_by_two(source, tmp_path):
    publish(source, "phi4-14B/work_1_3", ["xtts"], model1="microsoft/phi-4", model2="microsoft/phi-4-old")
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=4, failed=1)
    assert (
        "'microsoft/phi-4' and 'microsoft/phi-4-old', but both are 'phi4-14B'"
        in failures["xtts:phi4-14B/work_1_3"]
    )


def test_an_unknown_pairing_is_refused_by_name(source, tmp_path):
    publish(source, "phi4-15B/work_1_3", ["xtts"])
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=4, failed=1)
    assert "unknown pairing 'phi4-15B': did you mean 'phi4-14B'?" in failures["xtts:phi4-15B/work_1_3"]


def test_a_checkpoint_the_vocabulary_does_not_know_is_kept_and_said_once(source, tmp_path, capsys):
    for index in (1, 2):
        publish(source, f"cohere7B/work_{index}_3", model1="CohereLabs/r7b", model2="CohereLabs/r7b")
    assert take_in(tmp_path / "run", source) == (Tally(done=8), {})
    with opened(tmp_path / "run") as run:
        assert run.dialogues["cohere7B/work_1_3"].second_checkpoint == "CohereLabs/r7b"
    assert capsys.readouterr().err.count("model 'cohere7B' is kept as 'CohereLabs/r7b'") == 1


@pytest.mark.parametrize(
    ("value", "checkpoint"),
    [
        (QWEN, QWEN),
        (CACHE, f"{QWEN}@{REVISION}"),
        (CACHE.removeprefix("/cache/hub/") + "/", f"{QWEN}@{REVISION}"),
        ("/cache/models--Qwen--Qwen2.5-72B-Instruct", QWEN),
    ],
)
def test_a_hub_id_and_every_path_of_a_cached_model_give_a_checkpoint(tmp_path, value, checkpoint):
    publish(tmp_path / "source", TRAVEL, ["xtts"], model2=value)
    assert take_in(tmp_path / "run", tmp_path / "source") == (Tally(done=1), {})
    with opened(tmp_path / "run") as run:
        assert run.dialogues[TRAVEL].second_checkpoint == checkpoint


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "..%2ftravel_1_3",
        "travel_1_3\n",
        "travel_1_3.json",
        "travel_1",
        "Travel_1_3",
        "~_1_3",
        b"\xff_1_3",
    ],
)
def test_an_id_that_is_none_is_refused_in_one_line_and_leads_nowhere(source, tmp_path, name):
    folder = os.fsencode(text_of(source, "xtts", TRAVEL).parent)
    shutil.copy(text_of(source, "xtts", TRAVEL), folder + b"/" + os.fsencode(name) + b".json")
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=4, failed=1)
    ((id, message),) = failures.items()
    assert id.isprintable()
    assert message.isprintable()
    assert "is not <pairing>/<domain>_<index>_<turns>" in message


@pytest.mark.parametrize("name", ["dialogues_..", "dialogues_", "dialogues_a b", "dialogues_a\nb"])
def test_a_pairing_that_is_no_name_is_refused_in_one_line(source, tmp_path, name):
    folder = source / "xtts" / "data" / name
    folder.mkdir()
    shutil.copy(text_of(source, "xtts", TRAVEL), folder)
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=4, failed=1)
    ((_, message),) = failures.items()
    assert "is not <pairing>/<domain>_<index>_<turns>" in message
    assert message.isprintable()


def move_out(path, outside):
    """Puts a link in its place."""
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.parametrize("what", ["text", "full", "segment", "segments", "folder"])
def test_a_link_out_of_the_source_is_refused_by_name(source, tmp_path, what):
    path = {
        "text": text_of(source, "xtts", TRAVEL),
        "full": full_of(source, "xtts", TRAVEL),
        "segment": segments_of(source, "xtts", TRAVEL)[1],
        "segments": segments_of(source, "xtts", TRAVEL)[0].parent,
        "folder": text_of(source, "xtts", TRAVEL).with_suffix(""),
    }[what]
    move_out(path, tmp_path / "outside")
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=3, failed=1)
    if what == "folder":
        path /= "segments"
    assert failures[f"xtts:{TRAVEL}"].startswith(f"{str(path)!r} is a link out of the source")


def test_a_pairing_that_is_a_link_out_of_the_source_is_refused_and_not_looked_into(source, tmp_path):
    move_out(text_of(source, "xtts", TRAVEL).parent, tmp_path / "outside")
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=2, failed=1)
    assert list(failures) == [f"xtts:{PAIRING}/"]
    assert "is a link out of the source" in failures[f"xtts:{PAIRING}/"]


@pytest.mark.parametrize("what", ["xtts", "xtts/data"])
def test_an_engine_that_is_a_link_out_of_the_source_is_refused(source, tmp_path, what):
    move_out(source / what, tmp_path / "outside")
    with pytest.raises(SourceError, match="is a link out of the source"):
        take_in(tmp_path / "run", source)


def test_a_link_that_goes_in_a_circle_is_refused_by_name(source, tmp_path):
    path = text_of(source, "xtts", TRAVEL)
    path.unlink()
    path.symlink_to(path)
    tally, failures = take_in(tmp_path / "run", source)
    assert tally == Tally(done=3, failed=1)
    assert f"{path}" in failures[f"xtts:{TRAVEL}"]


def test_links_within_the_source_are_followed(source, tmp_path):
    twin = text_of(source, "xtts", TRAVEL)
    twin.unlink()
    twin.symlink_to(text_of(source, "orpheus", TRAVEL))
    (tmp_path / "link").symlink_to(source)
    assert take_in(tmp_path / "run", tmp_path / "link") == (Tally(done=4), {})


def test_what_was_refused_is_taken_in_once_it_is_repaired(source, tmp_path):
    segment = segments_of(source, "xtts", TRAVEL)[1]
    whole = segment.read_bytes()
    cut_off(segment)
    assert take_in(tmp_path / "run", source)[0] == Tally(done=3, failed=1)
    segment.write_bytes(whole)
    assert take_in(tmp_path / "run", source)[0] == Tally(done=1, skipped=3)
    with opened(tmp_path / "run") as run:
        clips, silences = sounds(run, "xtts", TRAVEL)
        assert np.array_equal(join(clips, silences), read(full_of(source, "xtts", TRAVEL)))


def test_files_that_are_no_part_of_the_layout_are_ignored(source, tmp_path):
    for folder in (
        source,
        source / "xtts",
        source / "xtts/data",
        segments_of(source, "xtts", TRAVEL)[0].parent,
    ):
        (folder / "metadata.tsv").write_text("not read\n")
    (source / "xtts/data/dialogues_notes.txt").write_text("not read\n")
    (source / ".cache/huggingface").mkdir(parents=True)
    assert take_in(tmp_path / "run", source) == (Tally(done=4), {})


def test_one_engines_folder_is_a_source_too_and_names_the_config(source, tmp_path):
    (source / "xtts").rename(source / "kokoro-82m")
    assert take_in(tmp_path / "run", source / "kokoro-82m") == (Tally(done=2), {})
    with opened(tmp_path / "run") as run:
        assert sorted(run.dialogues.ids()) == [FINANCE, TRAVEL]
        assert list(run.recordings) == ["kokoro-82m"]
        assert run.recordings["kokoro-82m"][TRAVEL].engine == "kokoro-82m (published)"


@pytest.mark.parametrize("name", ["XTTS", "text-only", "xtts-turns", "x tts", "x\ntts"])
def test_a_folder_that_cannot_name_a_config_is_refused_by_name(source, tmp_path, name):
    (source / "xtts").rename(source / name)
    with pytest.raises(SourceError, match="rename the folder to one like 'xtts'") as refusal:
        take_in(tmp_path / "run", source)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("made", [None, ".", "xtts", "xtts/data", "xtts/data/dialogues_phi4-mini"])
def test_a_source_that_holds_nothing_is_refused_with_what_was_expected(tmp_path, made):
    if made:
        (tmp_path / "source" / made).mkdir(parents=True)
    with pytest.raises(SourceError, match="expected a folder for each engine, such as xtts/, with data/"):
        take_in(tmp_path / "run", tmp_path / "source")


def test_published_data_is_not_mixed_into_a_rehearsal(source, tmp_path):
    with opened(tmp_path / "run") as run:
        run.pin.rehearse("text", True)
    with pytest.raises(RunError):
        take_in(tmp_path / "run", source)


def checked(**keys):
    """The published study with other checks."""
    return msgspec.structs.replace(load_study("published"), **keys)


def test_a_misspelt_check_is_refused_before_anything_is_taken_in(tmp_path):
    with pytest.raises(ConfigError, match=r"study 'published', checks\.gaap: .*did you mean 'gap'"):
        Run(tmp_path / "run", checked(checks={"gaap": {}}))
    assert not (tmp_path / "run" / "run.json").exists()


def test_clips_of_a_config_that_the_study_speaks_are_looked_at_by_its_own_checks(source, tmp_path):
    speech = {"xtts": Speech(voices={"Ann": "female", "Bob": "male"}, checks={"audible": {"min_s": 0.01}})}
    study = checked(checks={"audible": {"min_s": 9}}, speech=speech)
    with Run(tmp_path / "run", study) as run:
        assert asyncio.run(ingest(run, source)) == Tally(done=4)
        faults = {
            config: {fault for recording in ledger for clip in recording.clips for fault in clip.faults}
            for config, ledger in run.recordings.items()
        }
    assert faults == {"orpheus": {"audible"}, "xtts": set()}
