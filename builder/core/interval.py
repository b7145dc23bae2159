"""How sure a share or a mean is: 95 % intervals.

Law of the file: a count comes with every interval, and where there is too little to say there is no interval.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FEWEST = 20
"""Values that the interval of a mean needs; it is normal, and with fewer it would be too short."""
Z_95 = 1.959963984540054
"""Half of a 95 % interval, in standard errors."""


class Interval(NamedTuple):
    """A number, where it probably lies, and what it rests on."""

    value: float | None
    """None of nothing."""
    low: float | None
    """Of the 95 % interval; None where there is none."""
    high: float | None
    items: int


def share(part: int, whole: int) -> Interval:
    """A share in [0, 1] with Wilson's interval, which holds its 95 % for small counts and at the ends too.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Args:
        part: at least 0, at most `whole`.
        whole: at least 0; of nothing there is no share.
    """
    if not whole:
        return Interval(None, None, None, 0)
    return Interval(part / whole, *wilson(part / whole, whole), whole)


def wilson(found: float, count: float) -> tuple[float, float]:
    """Wilson's interval of a share.

    Args:
        found: the share, in [0, 1].
        count: what it is of, above 0; not whole where answers that hang together count for less than one each.
    """
    weight = Z_95 * Z_95 / count
    middle = (found + weight / 2) / (1 + weight)
    half = math.sqrt(weight * (found * (1 - found) + weight / 4)) / (1 + weight)
    # At the ends the interval touches 0 and 1 on paper, and rounding must not move it off.
    return (0.0 if not found else middle - half), (1.0 if found == 1 else middle + half)


def mean(values: Sequence[float] | NDArray[np.floating]) -> Interval:
    """The mean of independent values with the normal interval; of fewer than `FEWEST` there is no interval.

    Args:
        values: of shape (count,); not-a-number stands for a missing value and is left out.
    """
    given = np.asarray(values, np.float64)
    given = given[~np.isnan(given)]
    if not given.size:
        return Interval(None, None, None, 0)
    middle = float(given.mean())
    if given.size < FEWEST:
        return Interval(middle, None, None, given.size)
    half = Z_95 * float(given.std(ddof=1)) / math.sqrt(given.size)
    return Interval(middle, middle - half, middle + half, given.size)
