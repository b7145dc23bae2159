"""Precisions that a test needs."""

import pytest

from builder.plugins.precision import refusal


def able_to_work_in(dtype):
    """Skips the test where the CPU is not."""
    import torch

    if why := refusal(torch, dtype):
        pytest.skip(f"this CPU cannot work in {dtype}: {why}")
