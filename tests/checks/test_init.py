"""What every check promises: it finds something to say of each clip, or nothing, and never breaks down."""

import numpy as np
import pytest

from builder.core.speech import Waveform
from builder.plugins import find, names
from builder.plugins.checks import Check

RATE_HZ = 24000
NOISE = np.random.default_rng(3).normal(0, 0.1, 2 * RATE_HZ).astype(np.float32)
UNHEARD = {
    "empty": NOISE[:0],
    "one sample": NOISE[:1],
    "digital silence": 0 * NOISE,
    "not a number": np.where(np.arange(len(NOISE)) == 7, np.nan, NOISE).astype(np.float32),
    "infinite": np.full(2 * RATE_HZ, np.inf, np.float32),
}


@pytest.mark.parametrize("name", names(Check))
@pytest.mark.parametrize("unheard", UNHEARD)
def test_a_clip_that_cannot_be_heard_breaks_no_check(name, unheard, a_line):
    clips = [Waveform(samples, RATE_HZ) for samples in (NOISE, UNHEARD[unheard], UNHEARD[unheard])]
    lines = [a_line(text) for text in ("Good morning to you.", "Is it?", "I had not noticed, to be honest.")]
    faults = find(Check, name, "here")().faults(clips, lines)
    assert len(faults) == 3
    assert faults[0] is None
    assert all(fault is None or isinstance(fault, str) for fault in faults)
    if name == "audible":
        assert None not in faults[1:]
    elif name in {"gap", "tail", "loop", "distinct"} and unheard != "one sample":
        assert faults[1:] == [None, None]


def test_a_check_that_says_nothing_of_faults_is_told_so(a_line):
    class Mute(Check):
        pass

    with pytest.raises(TypeError, match="Mute does not say what a fault is"):
        Mute().faults([Waveform(NOISE, RATE_HZ)], [a_line("Hello.")])
