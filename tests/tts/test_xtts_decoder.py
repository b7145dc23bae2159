"""Whatever happens to the device, the memory or the numbers, every line is spoken, fails by itself, or is told why none is."""

import asyncio
import threading
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'xtts' is not installed")
pytest.importorskip("TTS", reason="the extra 'xtts' is not installed")

from builder.errors import SynthesisError  # noqa: E402
from builder.plugins.tts.xtts import Xtts  # noqa: E402
from tests.ravdess import make_ravdess  # noqa: E402
from tests.tiny_xtts import a_line, make_xtts, speak  # noqa: E402

pytestmark = pytest.mark.usefixtures("built_small")
LINES = [a_line(f"So happy, I am {number} foxes, are you?", number) for number in range(9)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    place = tmp_path_factory.mktemp("xtts")
    return Xtts(
        path=str(make_xtts(place / "model")),
        references=str(make_ravdess(place / "clips", actors=(1,), classes=("happy",))),
        cache=str(place / "cache"),
        device="cpu",
        batch=6,
    )


@pytest.fixture(scope="module")
def endless(engine, tmp_path_factory):
    """Speaks every line until it has the most tokens of a clip, and so all of them to the same step."""
    model = make_xtts(tmp_path_factory.mktemp("endless") / "model", stops=-1e4)
    return msgspec.structs.replace(engine, path=str(model))


@pytest.fixture(scope="module")
def calm(engine):
    return speak(engine, *LINES)


def test_a_line_that_never_stops_says_so_and_one_that_stops_does_not(engine, endless):
    async def faults(opened):
        async with opened.open() as synthesizer:
            return [clip.fault for clip in await asyncio.gather(*map(synthesizer.speak, LINES[:4]))]

    assert all("did not stop after 'So happy" in fault for fault in asyncio.run(faults(endless)))
    assert "" in asyncio.run(faults(engine))


def vocoder_of(xtts):
    return xtts.hifigan_decoder.waveform_decoder


@asynccontextmanager
async def hooked(engine, hook, module=lambda xtts: xtts.gpt.final_norm):
    """The engine opened, with a hook after one of the model's own modules: the last norm of every step, or another."""
    async with engine.open() as synthesizer:
        module(synthesizer._model.xtts).register_forward_hook(hook)
        yield synthesizer


def outcomes(engine, hook, lines=LINES, **where):
    async def all_at_once():
        async with hooked(engine, hook, **where) as synthesizer:
            return await asyncio.gather(*map(synthesizer.speak, lines), return_exceptions=True)

    return asyncio.run(all_at_once())


def same(outcomes, calm) -> bool:
    return all(np.array_equal(one.samples, other) for one, other in zip(outcomes, calm, strict=True))


def too_little_memory_for(rows, after=0):
    """A hook like a device whose memory holds fewer rows, from its so-and-so-manieth step on."""
    steps = iter(range(10**9))

    def hook(_module, _inputs, states):
        if len(states) >= rows and next(steps) >= after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return hook


@pytest.mark.parametrize("after", [0, 17], ids=["at the first step", "halfway"])
def test_where_memory_runs_out_it_goes_on_with_fewer_rows_and_the_same_sound(engine, calm, capfd, after):
    assert same(outcomes(engine, too_little_memory_for(4, after)), calm)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("xtts:")]
    assert said == ["xtts: out of memory with 6 lines at once, goes on with 3"]


def test_where_memory_does_not_do_for_the_vocoder_it_halves_too_and_loses_no_line(engine, calm):
    refused = []

    def hook(*_):
        if len(refused) < 2:
            refused.append(1)
            raise torch.OutOfMemoryError("CUDA out of memory.")

    spoken = outcomes(engine, hook, module=vocoder_of)
    assert len(refused) == 2
    assert not [one for one in spoken if isinstance(one, BaseException)]
    assert all(one.samples.shape == other.shape for one, other in zip(spoken, calm, strict=True))


def voiced_together(engine, hook):
    """Lines that all end at once, on a CPU with a vocoder that speaks four together, as it does on a GPU."""
    lines = LINES[:6]

    async def all_at_once():
        async with hooked(engine, hook, module=vocoder_of) as synthesizer:
            synthesizer._decoder._vocoder._rows = 4
            with synthesizer._decoder._changed:  # the thread begins with none before all are there
                spoken = [asyncio.create_task(synthesizer.speak(line)) for line in lines]
                await asyncio.sleep(0)
            return await asyncio.gather(*spoken)

    alone = speak(engine, *lines)
    for one, other in zip(asyncio.run(all_at_once()), alone, strict=True):
        assert one.samples.shape == other.shape
        assert np.abs(one.samples - other).max() < 2e-5
    assert len({samples.tobytes() for samples in alone}) == len(lines)


def test_pieces_that_end_together_go_through_the_vocoder_together_and_each_gets_its_own_sound(endless):
    batches = []
    voiced_together(endless, lambda _module, _inputs, sound: batches.append(len(sound)))
    assert batches == [4, 2]


def test_where_memory_does_not_do_for_a_batch_of_the_vocoder_nothing_is_decoded_again(endless, capfd):
    voiced_together(endless, too_little_memory_for(3))
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("xtts:")]
    assert said == ["xtts: out of memory to voice 4 lines at once, goes on with 2"]


def test_where_memory_does_not_do_for_a_single_line_the_lines_fail_and_say_so(engine):
    failed = outcomes(engine, too_little_memory_for(1))
    assert {type(one) for one in failed} == {SynthesisError}
    assert {str(one) for one in failed} == {
        "XTTS has too little memory for a single line: free some of the device's"
    }


def test_the_engine_speaks_again_once_there_is_memory(engine, calm):
    full = [True]

    def hook(*_):
        if full[0]:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    async def before_and_after():
        async with hooked(msgspec.structs.replace(engine, batch=2), hook) as synthesizer:
            with pytest.raises(SynthesisError, match="too little memory"):
                await synthesizer.speak(LINES[0])
            full[0] = False
            return await synthesizer.speak(LINES[0])

    spoken = asyncio.run(before_and_after())
    assert spoken.samples.shape == calm[0].shape


def test_numbers_out_of_range_fail_their_own_row_and_no_other_now_or_later(engine, calm):
    steps = iter(range(10**9))

    def hook(_module, _inputs, states):
        if len(states) == 3 and next(steps) == 5:
            states = states.clone()
            states[1] = torch.nan
            return states
        return None

    outcome = outcomes(msgspec.structs.replace(engine, batch=3), hook)
    failed = [place for place, one in enumerate(outcome) if isinstance(one, SynthesisError)]
    assert failed == [1]
    assert "XTTS's numbers ran out of range" in str(outcome.pop(1))
    assert same(outcome, [*calm[:1], *calm[2:]])


def test_numbers_out_of_range_in_the_cache_do_not_reach_the_next_piece_of_the_row(engine, calm):
    steps = iter(range(10**9))

    def hook(_module, _inputs, states):
        return torch.full_like(states, torch.nan) if next(steps) == 8 else None

    # Layer 0's keys and values of the next step come from a state that is not a number, in all rows at once.
    first = lambda xtts: xtts.gpt.mel_embedding  # noqa: E731
    outcome = outcomes(msgspec.structs.replace(engine, batch=2), hook, module=first)
    failed = [place for place, one in enumerate(outcome) if isinstance(one, SynthesisError)]
    assert failed == [0, 1]
    assert same(outcome[2:], calm[2:])


def test_a_thread_that_dies_tells_every_line_that_waits_and_every_line_to_come(engine):
    steps = iter(range(10**9))

    def hook(*_):
        if next(steps) == 8:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with ...")

    async def all_and_one_more():
        async with hooked(msgspec.structs.replace(engine, batch=2), hook) as synthesizer:
            failed = await asyncio.gather(*map(synthesizer.speak, LINES), return_exceptions=True)
            with pytest.raises(SynthesisError, match="XTTS speaks no more: RuntimeError: CUDA error"):
                await synthesizer.speak(LINES[0])
            return failed

    failed = asyncio.run(all_and_one_more())
    assert {str(one) for one in failed} == {
        "XTTS speaks no more: RuntimeError: CUDA error: an illegal memory access was encountered Compile with ..."
    }
    assert {type(one) for one in failed} == {SynthesisError}


def test_closing_ends_the_thread(engine):
    speak(engine, LINES[0])
    assert "xtts" not in {thread.name for thread in threading.enumerate()}
