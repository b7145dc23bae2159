"""How long something takes that may grow with the square of its text."""

import time


def cpu_s(work, unit, size, begin=""):
    """CPU seconds that `work` takes for a text of about `size` characters: `begin`, and then `unit` repeated."""
    text = begin + unit * (size // len(unit))
    began = time.process_time()
    work(text)
    return time.process_time() - began
