"""A line sounds as the library would speak it, and the same whatever is spoken beside it, before it or after it."""

import asyncio
import itertools
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'xtts' is not installed")
pytest.importorskip("TTS", reason="the extra 'xtts' is not installed")

from builder.config import load_study  # noqa: E402
from builder.core.emotion import RAVDESS, Emotion  # noqa: E402
from builder.core.speech import Voice  # noqa: E402
from builder.errors import ConfigError, SynthesisError  # noqa: E402
from builder.plugins import make  # noqa: E402
from builder.plugins.tts import Engine  # noqa: E402
from builder.plugins.tts._references import References  # noqa: E402
from builder.plugins.tts._sentences import pieces  # noqa: E402
from builder.plugins.tts.xtts import Xtts  # noqa: E402
from builder.plugins.tts.xtts.synthesizer import SAMPLING  # noqa: E402
from tests.commands import deepdialogue, site, tree  # noqa: E402
from tests.precisions import able_to_work_in  # noqa: E402
from tests.ravdess import make_ravdess, name_of  # noqa: E402
from tests.runs import held  # noqa: E402
from tests.runs import small as small_study  # noqa: E402
from tests.tiny_xtts import GREEDY, HAPPY, VOICE, a_line, make_xtts, speak  # noqa: E402

pytestmark = pytest.mark.usefixtures("built_small")
TEXTS = (
    "Why?",
    "Hello there, how are you?",
    "I am so happy today, it is great! Why? No.",
    "The 7 quick foxes jump over my lazy dog, and so it is great, hello there, and so are you, are you not?",
    "No way.",
    "So happy!",
    "I am great today. You are great today!",
)
LONG = " ".join(f"I am so happy today, it is great number {n}, hello there, how are you?" for n in range(7))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    place = tmp_path_factory.mktemp("xtts")
    return Xtts(
        path=str(make_xtts(place / "model")),
        references=str(make_ravdess(place / "clips", classes=("happy", "sad"))),
        cache=str(place / "cache"),
        device="cpu",
        batch=3,
    )


@pytest.fixture(scope="module")
def library(engine):
    """The library's own model, loaded by itself, and how the one voice sounds to it."""
    from TTS.tts.models.xtts import Xtts as Own
    from TTS.tts.models.xtts import XttsConfig

    config = XttsConfig()
    config.load_json(f"{engine.path}/config.json")
    own = Own(config)
    own.load_checkpoint(config, checkpoint_dir=engine.path)
    waveform = References(Path(engine.references)).reference(VOICE, HAPPY).waveform
    sound, rate_hz = torch.from_numpy(waveform.samples)[None], waveform.sampling_rate_hz
    latents = own.get_gpt_cond_latents(
        sound, rate_hz, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
    )
    return own, latents, own.get_speaker_embedding(sound, rate_hz)


def test_a_site_names_it_by_its_file(engine):
    settings = {"engine": "xtts", "path": engine.path, "references": engine.references, "batch": 5}
    assert isinstance(make(Engine, settings, "site"), Xtts)


@pytest.mark.parametrize(("penalty", "least_lengths"), [(5.0, 4), (1.0, 1)], ids=["ended", "endless"])
def test_greedy_speech_is_the_librarys_own_whether_it_ends_or_not(engine, library, penalty, least_lengths):
    own, latents, speaker = library
    sampling = msgspec.structs.replace(GREEDY, repetition_penalty=penalty)
    spoken = speak(engine, *(a_line(text, sampling=sampling) for text in TEXTS))
    lengths = set()
    for text, samples in zip(TEXTS, spoken, strict=True):
        (piece,) = pieces(text)
        reference = own.inference(
            piece, "en", latents, speaker, do_sample=False, num_beams=1, repetition_penalty=penalty
        )["wav"]
        assert samples.shape == reference.shape
        assert np.abs(reference).max() > 0.1
        assert np.abs(samples - reference).max() < 2e-6
        lengths.add(len(samples))
    assert len(lengths) >= least_lengths


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_gpu_greedy_speech_is_that_of_the_cpu_and_half_precision_speaks(engine, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    lines = [a_line(text, sampling=GREEDY) for text in TEXTS]
    on_gpu = msgspec.structs.replace(engine, device="cuda", dtype="float32")
    for here, there in zip(speak(engine, *lines), speak(on_gpu, *lines), strict=True):
        assert here.shape == there.shape
        assert np.abs(here - there).max() < 1e-4
    for samples in speak(msgspec.structs.replace(engine, device="cuda"), *map(a_line, TEXTS)):
        assert 0.01 < np.abs(samples).max() <= 1


def test_a_clip_is_the_same_alone_in_company_in_any_order_and_in_batches_of_any_size(engine):
    lines = [a_line(text, seed) for seed, text in enumerate((*TEXTS, LONG))]
    together = speak(engine, *lines)
    assert len({samples.tobytes() for samples in together}) == len(lines)
    for place in (0, 3, 7):
        assert np.array_equal(speak(engine, lines[place])[0], together[place])
    for rows in (1, 2, 16):
        other = msgspec.structs.replace(engine, batch=rows)
        backwards = speak(other, *reversed(lines))
        assert all(map(np.array_equal, together, reversed(backwards)))


def test_a_clip_is_the_same_wherever_the_rows_around_it_are(engine):
    """Lines come and go one by one, so that each finds itself in another row and the others at other places."""
    lines = [a_line(text, seed) for seed, text in enumerate(TEXTS)]
    together = speak(engine, *lines)

    async def in_a_trickle():
        async with engine.open() as synthesizer:

            async def later(place, line):
                await asyncio.sleep(place * 0.013 % 0.05)
                return (await synthesizer.speak(line)).samples

            return await asyncio.gather(*itertools.starmap(later, enumerate(lines)))

    assert all(map(np.array_equal, together, asyncio.run(in_a_trickle())))


def test_the_seed_decides_and_the_engines_own_sampling_is_that_of_the_published_model(engine):
    first, again, other = speak(
        engine, a_line(TEXTS[2], 1), a_line(TEXTS[2], 1, sampling=SAMPLING), a_line(TEXTS[2], 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_line_of_several_pieces_is_the_pieces_in_order_with_a_pause_between_them(engine):
    texts = pieces(LONG)
    assert len(texts) > 2
    whole, *parts = speak(engine, *(a_line(text, sampling=GREEDY) for text in (LONG, *texts)))
    pause = np.zeros(3600, np.float32)
    joined = np.concatenate([part for samples in parts for part in (pause, samples)][1:])
    assert np.array_equal(whole, joined)


def test_each_piece_of_a_line_is_drawn_from_a_seed_of_its_own(engine):
    sentence = pieces(LONG)[0]
    twice = f"{sentence} {sentence}"
    assert pieces(twice) == [sentence, sentence]
    (spoken,) = speak(engine, a_line(twice))
    half = len(spoken) // 2
    assert not np.array_equal(spoken[:2000], spoken[half + 1800 : half + 3800])


def test_voice_emotion_and_intensity_are_heard(engine):
    strong = Emotion(ravdess="happy", intensity="strong", valence=1, arousal=1, successors=("other",))
    sad = Emotion(ravdess="sad", valence=-1, arousal=-1, successors=("other",))
    woman = Voice(name="actor-02", sex="female")
    spoken = speak(
        engine,
        a_line(TEXTS[1]),
        a_line(TEXTS[1], voice=woman),
        a_line(TEXTS[1], emotion=sad),
        a_line(TEXTS[1], emotion=strong),
    )
    assert len({samples.tobytes() for samples in spoken}) == 4


def test_it_speaks_in_half_precision_too(engine):
    able_to_work_in("bfloat16")
    half = msgspec.structs.replace(engine, dtype="bfloat16")
    for samples in speak(half, *(a_line(text) for text in TEXTS[:3])):
        assert samples.dtype == np.float32
        assert 0.01 < np.abs(samples).max() <= 1


def test_it_takes_twice_as_many_lines_as_it_has_rows_and_names_the_library_and_the_weights(engine):
    async def opened():
        async with engine.open() as synthesizer:
            return synthesizer.limit, synthesizer.name

    limit, name = asyncio.run(opened())
    assert limit == 6
    assert name.startswith("XTTS-v2 ")
    assert "coqui-tts 0." in name


@pytest.mark.parametrize("text", ["...", "\u65e5\u672c\u8a9e"])
def test_a_line_without_anything_it_can_say_is_an_error_and_no_sound(engine, text):
    with pytest.raises(SynthesisError, match=r"XTTS finds nothing to say in"):
        speak(engine, a_line(text))


def test_a_text_with_more_tokens_than_the_model_reads_is_an_error(engine):
    with pytest.raises(SynthesisError, match=r"XTTS reads 199 tokens, .* has \d+: shorten the text"):
        speak(engine, a_line(" ".join("9" * 9 for _ in range(20))))


def test_a_voice_without_clips_is_named_and_the_others_are_spoken(engine):
    async def both():
        async with engine.open() as synthesizer:
            stranger = a_line(TEXTS[0], voice=Voice(name="actor-03", sex="male"))
            return await asyncio.gather(
                synthesizer.speak(stranger), synthesizer.speak(a_line(TEXTS[0])), return_exceptions=True
            )

    failed, spoken = asyncio.run(both())
    assert isinstance(failed, ConfigError)
    assert "no clips of voice 'actor-03'" in str(failed)
    assert np.array_equal(spoken.samples, speak(engine, a_line(TEXTS[0]))[0])


def names_alone(folder, *without):
    """What the archive of RAVDESS unpacks to, as far as names go, but for takes of such (actor, class)."""
    for actor, ravdess in itertools.product(range(1, 25), RAVDESS):
        home = folder / f"Actor_{actor:02}"
        home.mkdir(parents=True, exist_ok=True)
        if (actor, ravdess) not in without:
            (home / name_of(actor, ravdess)).touch()
    return folder


def test_a_voice_without_clips_stops_the_study_in_one_line_before_anything_is_loaded_or_made(
    engine, tmp_path
):
    study = load_study("quickstart")
    references = names_alone(tmp_path / "clips", (7, "angry"), *itertools.product([24], RAVDESS))
    unjudged = small_study(judges=(), speech={"xtts": study.speech["xtts"]})
    held(tmp_path / "run", unjudged).__exit__(None, None, None)
    settings = f'engine = "xtts"\npath = "{engine.path}"\nreferences = "{references}"\n'
    before = tree(tmp_path / "run")
    done = deepdialogue(
        "synthesize", "--run", "run", "--site", site(tmp_path, f"[speech.xtts]\n{settings}"), cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stdout + done.stderr == (
        f"deepdialogue: error: {references}: no clips of 'actor-07' (angry), 'actor-24' (any class): "
        "bring them, or leave the voices or the classes out of the study\n"
    )
    assert tree(tmp_path / "run") == before


def test_a_study_with_all_its_clips_and_the_model_may_begin(engine, tmp_path):
    study = load_study("quickstart")
    cast, emotions = study.speech["xtts"].cast(), [*study.vocabulary.emotions.values()]
    whole = Xtts(path=engine.path, references=str(names_alone(tmp_path / "clips")))
    whole.prepare(cast, emotions)
    with pytest.raises(ConfigError, match=r"no clips of 'anna' \(any class\)"):
        whole.prepare([*cast, Voice(name="anna", sex="female")], emotions)
    with pytest.raises(ConfigError, match=r"has no config.json, which is part of XTTS-v2: fetch it from"):
        msgspec.structs.replace(whole, path=str(tmp_path)).prepare(cast, emotions)


def test_a_cancelled_line_makes_room_and_leaves_the_others_as_they_are(engine):
    async def impatient():
        async with engine.open() as synthesizer:
            unwanted = [asyncio.create_task(synthesizer.speak(a_line(LONG, seed))) for seed in range(6)]
            wanted = asyncio.create_task(synthesizer.speak(a_line(TEXTS[2])))
            await asyncio.sleep(0.02)
            for task in unwanted:
                task.cancel()
            spoken = await wanted
            done = await asyncio.gather(*unwanted, return_exceptions=True)
            return spoken.samples, done

    spoken, done = asyncio.run(impatient())
    assert all(isinstance(one, asyncio.CancelledError) for one in done)
    assert np.array_equal(spoken, speak(engine, a_line(TEXTS[2]))[0])


def test_lines_that_wait_when_the_engine_closes_fail_and_do_not_hang(engine):
    async def hasty():
        async with engine.open() as synthesizer:
            tasks = [asyncio.create_task(synthesizer.speak(a_line(LONG, seed))) for seed in range(9)]
            await asyncio.sleep(0)
        with pytest.raises(SynthesisError, match="the engine is closed"):
            await synthesizer.speak(a_line("Why?"))
        return await asyncio.gather(*tasks, return_exceptions=True)

    for outcome in asyncio.run(hasty()):
        assert isinstance(outcome, SynthesisError)
        assert str(outcome) == "XTTS speaks no more: the engine is closed"


@pytest.mark.parametrize("device", ["meta:warp", "cuda:7"])
def test_a_device_that_is_not_here_is_named(engine, device):
    with pytest.raises(ConfigError, match=f"device '{device}' cannot take XTTS: "):
        speak(msgspec.structs.replace(engine, device=device))


def test_a_cache_that_cannot_be_made_is_named(engine, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cache '.*file/cache' cannot be made: .*: name a folder that can"):
        speak(msgspec.structs.replace(engine, cache=str(tmp_path / "file" / "cache")))


def test_the_cache_lies_in_the_users_own_unless_the_site_names_one(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    speak(msgspec.structs.replace(engine, cache=None), a_line("Why?"))
    assert [file.suffix for file in (tmp_path / "deepdialogue" / "xtts").iterdir()] == [".npz"]
