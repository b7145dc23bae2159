"""A recorded step does what the call does; where nothing can be recorded, every call is made."""

import pytest

torch = pytest.importorskip("torch", reason="the extra 'xtts' is not installed")

from builder.plugins.tts.xtts.graph import Replay  # noqa: E402

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
NUMBERS = (3, 3, 5, 3, 3, 5, 5, 3)


def totals(device, step) -> list[float]:
    """What a total is after each of several calls; `step` adds a number to it."""
    total = torch.zeros(1, device=device)
    replay = Replay(lambda number: step(total, number), torch.device(device))
    seen = []
    for number in NUMBERS:
        replay(number)
        seen.append(float(total))
    return seen


EXPECTED = [3, 6, 11, 14, 17, 22, 27, 30]


def test_on_a_cpu_every_call_is_made():
    calls = []
    assert totals("cpu", lambda total, number: (calls.append(number), total.add_(number))) == EXPECTED
    assert calls == list(NUMBERS)


@on_a_gpu
def test_on_a_gpu_a_call_is_made_once_recorded_once_and_then_replayed():
    calls = []
    assert totals("cuda", lambda total, number: (calls.append(number), total.add_(number))) == EXPECTED
    assert calls == [3, 3, 5, 5]


@on_a_gpu
def test_a_step_that_cannot_be_recorded_is_called_and_that_is_said_once(capfd):
    calls = []

    def step(total, number):
        calls.append(number)
        total.add_(number)
        total.item()  # waits for the device, which no recording may

    assert totals("cuda", step) == EXPECTED
    assert capfd.readouterr().err.count("xtts: goes on without CUDA graphs") == 1
