"""What keeping recordings promises."""

import numpy as np
import pytest

from builder.core.speech import Recording, Take
from builder.errors import SourceError
from builder.run.audio import AudioFiles
from builder.run.ledger import Ledger, Ledgers
from builder.run.recorder import Recorder


def keep(recorder, id, rate_hz):
    recorder.keep(
        id,
        engine="none",
        rehearsal=False,
        voices=("a", "b"),
        sampling_rate_hz=rate_hz,
        takes=[Take(np.arange(100, dtype=np.int16), 10, "happy")],
    )


def test_a_recording_at_another_rate_than_those_before_is_refused_for_a_dataset_has_one(tmp_path):
    with Ledger(tmp_path / "xtts.jsonl", Recording, writable=True) as ledger:
        with Recorder(AudioFiles(tmp_path / "audio"), Ledgers(ledger)) as recorder:
            keep(recorder, "a/b_1_1", 24_000)
            with pytest.raises(SourceError, match=r"a/b_2_1: at 16000 Hz, .* at 24000 Hz: resample it"):
                keep(recorder, "a/b_2_1", 16_000)
        with Recorder(AudioFiles(tmp_path / "audio"), Ledgers(ledger)) as recorder:
            with pytest.raises(SourceError, match="24000"):
                keep(recorder, "a/b_3_1", 16_000)
            keep(recorder, "a/b_4_1", 24_000)
        assert ledger.ids() == ["a/b_1_1", "a/b_4_1"]
