import asyncio
import sys
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'orpheus' is not installed")

from builder.config import Site, load_study  # noqa: E402
from builder.core.speech import Voice  # noqa: E402
from builder.errors import ConfigError, SynthesisError  # noqa: E402
from builder.plugins import make  # noqa: E402
from builder.plugins.tts import Engine  # noqa: E402
from builder.plugins.tts.orpheus import Orpheus  # noqa: E402
from builder.plugins.tts.orpheus.tokens import TAGS, VOICES  # noqa: E402
from builder.run.doctor import doctor  # noqa: E402
from tests.runs import small  # noqa: E402
from tests.servers.orpheus import CHECKPOINT, END, OrpheusServer, draw, spoken, tokens  # noqa: E402
from tests.tiny_orpheus import make_orpheus, make_snac  # noqa: E402
from tests.tts.speaking import TEXT, line, opened, speak  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]
FRAME = 2048
_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
LONG = " ".join(f"This is sentence number {number}, and it goes on for a while." for number in _NUMBERS)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Folders with a tiny SNAC, one that makes no sound, and a tiny Orpheus."""
    for module in ("snac", "transformers"):
        pytest.importorskip(module, reason="the extra 'orpheus' is not installed")
    folder = tmp_path_factory.mktemp("weights")
    make_snac(folder / "snac_tiny")
    make_snac(folder / "silent", loudness=0.0)
    make_orpheus(folder / "orpheus")
    return folder


@pytest.fixture
def server():
    with OrpheusServer(brief) as one:
        yield one


@pytest.fixture
def engine(server, weights):
    return lambda **settings: Orpheus(
        **{"api": "tgi", "url": server.url, "snac": str(weights / "snac_tiny"), "device": "cpu", **settings}
    )


@pytest.fixture
def local(weights):
    return Orpheus(
        api="transformers",
        path=str(weights / "orpheus"),
        checkpoint="ORG/NAME",
        snac=str(weights / "snac_tiny"),
        device="cpu",
        batch=3,
    )


def brief(voice, text, seed):
    """A frame for every 20 characters: a quarter of the time that they take to say, and as telling."""
    return [*tokens(draw(voice, text, seed).integers(0, 4096, (2 + len(text) // 20, 7))), END]


def frames(waveform):
    assert waveform.sampling_rate_hz == 24000
    assert waveform.samples.dtype == np.float32
    assert len(waveform.samples) % FRAME == 0
    return len(waveform.samples) // FRAME


def texts(server):
    """What was asked for, in the words between the voice and the end of text."""
    return [body["inputs"].split("|>", 1)[1].split("<|eot_id|>")[0] for body in server.bodies("/generate")]


def at_first(bad, times=1):
    """A model that does badly the first `times` it is asked for a text, and well from then on."""
    asked = Counter()

    def compose(voice, text, seed):
        asked[text] += 1
        return bad(seed) if asked[text] <= times else spoken(voice, text, seed)

    return compose


BAD = {
    "a loop of 79 frames": lambda seed: [
        *tokens(np.repeat(draw(seed).integers(0, 4096, (1, 7)), 80, 0)),
        END,
    ],
    "no end of speech within 1024 tokens": lambda seed: tokens(draw(seed).integers(0, 4096, (200, 7))),
    "no audio in 1 tokens": lambda _: [END],
    "no audio in 41 tokens": lambda seed: [*draw(seed).integers(0, 128000, 40).tolist(), END],
    "of 421 tokens out of place": lambda seed: [
        *draw(seed).permutation(tokens(draw(seed).integers(0, 4096, (10, 7)))).tolist(),
        *tokens(draw(seed).integers(0, 4096, (50, 7))),
        END,
    ],
}


def test_a_site_names_it_by_its_file():
    found = make(Engine, {"engine": "orpheus", "api": "vllm", "url": "http://node7:8000/v1"}, "site")
    assert isinstance(found, Orpheus)
    assert (found.checkpoint, found.snac) == (CHECKPOINT, "hubertsiuzdak/snac_24khz")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "missing key 'api'"),
        ({"api": "tgi"}, "api = 'tgi' needs the url of a server"),
        ({"api": "vllm", "url": "node7"}, "url is not an address"),
        ({"api": "vllm", "url": "http://me:secret@node7"}, "url carries a user, a password or a query"),
        ({"api": "tgi", "url": "http://node7", "path": "/weights"}, "leave out path"),
        (
            {"api": "tgi", "url": "http://node7", "max_tokens": 2000},
            "max_tokens is 2000: TGI generates 1024 at most",
        ),
        ({"api": "transformers", "url": "http://node7"}, "leave out url"),
        ({"api": "transformers", "batch": 0}, "key 'batch' is 0"),
    ],
)
def test_settings_that_cannot_work_are_refused_when_the_site_is_read(settings, said):
    with pytest.raises(ConfigError) as refused:
        make(Engine, {"engine": "orpheus", **settings}, "site")
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_it_is_no_rehearsal_and_takes_as_many_lines_as_its_server(engine):
    assert not Orpheus.rehearsal
    assert opened(engine()) == (f"orpheus {CHECKPOINT} with SNAC snac_tiny", 64)


def test_every_stock_voice_and_no_other_is_spoken_with(server, engine):
    study = load_study("quickstart")
    emotions = [*study.vocabulary.emotions.values()]
    cast = study.speech["orpheus"].cast()
    engine().prepare(cast, emotions)
    assert {voice.name for voice in cast} == set(VOICES)
    with pytest.raises(ConfigError, match=r"no voice 'julia': known: 'dan', 'jess'"):
        engine().prepare([*cast, Voice(name="julia", sex="female")], emotions)
    with pytest.raises(ConfigError, match=r"no voice 'Tara': did you mean 'tara'\?"):
        speak(engine(), line(voice="Tara"))
    assert not server.bodies("/generate")


def test_every_tag_goes_before_the_words(server, engine):
    speak(engine(), *(line("Well, hello.", tag=f"<{tag}>") for tag in TAGS))
    assert sorted(texts(server)) == sorted(f"tara: <{tag}> Well, hello." for tag in TAGS)


def test_a_tag_goes_before_the_first_piece_only(server, engine):
    speak(engine(), line(LONG, tag="<laugh>"))
    assert sum("<laugh>" in text for text in texts(server)) == 1
    assert "tara: <laugh> This is sentence number zero" in "".join(texts(server))


def test_a_tag_it_does_not_know_is_refused_before_anything_is_asked(server, engine):
    with pytest.raises(ConfigError, match=r"no tag '<laughs>': did you mean '<laugh>'\?"):
        speak(engine(), line(tag="<laughs>"))
    assert not server.bodies("/generate")


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Well <laugh> I never", "tara: Well I never."),
        ("Stop<|eot_id|><custom_token_4> it!", "tara: Stop it!"),
        ("So happy \U0001f602 today!", "tara: So happy today!"),
        ("If a < b, then what?", "tara: If a is less than b, then what?"),
    ],
)
def test_what_a_turn_says_is_never_an_order(server, engine, text, asked):
    speak(engine(), line(text))
    assert texts(server) == [asked]


@pytest.mark.parametrize("text", ["", "...", "\U0001f602", "<laugh>"])
def test_a_line_with_nothing_to_say_is_refused_by_name(server, engine, text):
    with pytest.raises(SynthesisError, match="finds nothing to say in") as refused:
        speak(engine(), line(text))
    assert repr(text) in str(refused.value)
    assert not server.bodies("/generate")


def test_a_long_turn_is_spoken_in_pieces_that_the_server_can_take_and_joined_in_order(server, engine):
    (whole,) = speak(engine(), line(LONG))
    asked = sorted(texts(server), key=lambda text: LONG.index(text.removeprefix("tara: ")[:30]))
    assert len(asked) > 3
    assert " ".join(text.removeprefix("tara: ") for text in asked) == LONG
    assert all(len(text) < 160 for text in asked)
    assert len({body["parameters"]["seed"] for body in server.bodies("/generate")}) == len(asked)
    assert frames(whole) == sum(
        (len(brief("tara", text.removeprefix("tara: "), 0)) - 1) // 7 for text in asked
    )


def test_the_pieces_are_joined_in_order_whichever_is_ready_first(server, engine):
    (first,) = speak(engine(limit=1), line(LONG))
    (second,) = speak(engine(), line(LONG))
    assert np.array_equal(first.samples, second.samples)


def test_where_more_tokens_fit_a_long_turn_is_one_piece(server, engine):
    speak(engine(api="vllm", max_tokens=4096), line(LONG[:500]))
    assert server.counts()["/v1/completions"] == 1


def test_a_clip_does_not_depend_on_those_beside_it(engine):
    wanted = [line(f"{TEXT} {number}" * (1 + number % 3), VOICES[number], seed=number) for number in range(6)]
    together = speak(engine(), *wanted)
    for one, clip in zip(wanted, together, strict=True):
        (alone,) = speak(engine(), one)
        assert np.array_equal(alone.samples, clip.samples)


def test_another_seed_or_voice_gives_another_clip(engine):
    one, again, other, third = speak(engine(), line(), line(), line(seed=8), line(voice="leo"))
    assert np.array_equal(one.samples, again.samples)
    assert not np.array_equal(one.samples, other.samples)
    assert not np.array_equal(one.samples, third.samples)


@pytest.mark.parametrize("said", BAD)
def test_what_is_no_speech_is_asked_for_again_with_a_new_seed(weights, said):
    with OrpheusServer(at_first(BAD[said], times=2)) as server:
        (clip,) = speak(Orpheus(api="tgi", url=server.url, snac=str(weights / "snac_tiny")), line())
        seeds = [body["parameters"]["seed"] for body in server.bodies("/generate")]
        assert len(set(seeds)) == len(seeds) == 3
        assert frames(clip) == round(len(TEXT) / 14 * 24000 / 2048)
        speak(Orpheus(api="tgi", url=server.url, snac=str(weights / "snac_tiny")), line())
        assert server.bodies("/generate")[3]["parameters"]["seed"] == seeds[0], "they are the line's own"


@pytest.mark.parametrize("said", BAD)
def test_what_is_never_speech_is_an_error_of_the_line_that_names_it(weights, said):
    with OrpheusServer(at_first(BAD[said], times=99)) as server:
        with pytest.raises(SynthesisError, match="failed 3 times") as failed:
            speak(Orpheus(api="tgi", url=server.url, snac=str(weights / "snac_tiny")), line("Hello."))
        assert said in str(failed.value)
        assert "'Hello.' in voice 'tara'" in str(failed.value)
        assert server.counts()["/generate"] == 3


def test_silence_is_no_speech(weights, engine):
    with pytest.raises(SynthesisError, match=r"at last by silence, at -\d+ dB"):
        speak(engine(snac=str(weights / "silent")), line())


def test_a_line_that_fails_leaves_the_others_alone(weights):
    def compose(voice, text, seed):
        return [END] if "bad" in text else spoken(voice, text, seed)

    with OrpheusServer(compose) as server:
        engine = Orpheus(api="tgi", url=server.url, snac=str(weights / "snac_tiny"))

        async def main():
            async with engine.open() as synthesizer:
                asked = (synthesizer.speak(line(text)) for text in ("good.", "bad.", "well."))
                return await asyncio.gather(*asked, return_exceptions=True)

        good, bad, well = asyncio.run(main())
    assert isinstance(bad, SynthesisError)
    assert frames(good) == frames(well) == 4


def test_of_a_line_that_fails_nothing_goes_on(weights):
    def compose(voice, text, seed):
        return [END] if "number zero" in text else spoken(voice, text, seed)

    with OrpheusServer(compose) as server:
        engine = Orpheus(api="tgi", url=server.url, snac=str(weights / "snac_tiny"), limit=1)

        async def main():
            async with engine.open() as synthesizer:
                before = asyncio.all_tasks()
                with pytest.raises(SynthesisError, match="number zero"):
                    await synthesizer.speak(line(LONG))
                return asyncio.all_tasks() - before

        assert not asyncio.run(main())


def test_in_this_process_a_clip_does_not_depend_on_those_beside_it(local):
    wanted = [
        line("Well, hello there. " * (1 + number % 2), VOICES[number], seed=number) for number in range(5)
    ]
    together = speak(local, *wanted)
    assert len({frames(clip) for clip in together}) > 1
    for one, clip in zip(wanted, together, strict=True):
        (alone,) = speak(local, one)
        assert np.array_equal(alone.samples, clip.samples)


def test_in_this_process_it_is_named_by_its_checkpoint_and_takes_a_batch_at_once(local):
    assert opened(local) == ("orpheus ORG/NAME with SNAC snac_tiny", 3)


def test_a_missing_extra_is_named_with_its_repair(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, "snac", None)
    with pytest.raises(ConfigError, match=r"pip install 'deepdialogue\[orpheus\]'"):
        opened(engine())


def test_doctor_hears_it_speak(server, weights):
    what = small(judges=(), plan=None, speech={"orpheus": load_study("quickstart").speech["orpheus"]})
    table = {"engine": "orpheus", "api": "tgi", "url": server.url, "snac": str(weights / "snac_tiny")}
    (finding,) = asyncio.run(doctor(what, Site(name="here", speech={"orpheus": table})))
    assert (finding.verdict, finding.where) == ("well", f"orpheus {server.url}")
    assert finding.serves == f"orpheus {CHECKPOINT} with SNAC snac_tiny"
