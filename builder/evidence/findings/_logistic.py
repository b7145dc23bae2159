"""Logistic regression with errors robust within clusters, and the refusal to fit what has no finite answer.

Law of the file: a coefficient comes with its interval, or there is a reason why there is none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from builder.core.interval import Interval
from builder.errors import extra

FEWEST_CLUSTERS = 20
"""With fewer, the errors that are robust within clusters come out too small."""


class Fit(NamedTuple):
    """Odds ratios by term, each per unit of its column; the items are the observations."""

    ratios: dict[str, Interval]
    clusters: int


def fit(
    terms: Sequence[str],
    design: NDArray[np.float64],
    accepted: NDArray[np.bool_],
    cluster: NDArray[np.integer],
) -> Fit | str:
    """Fits acceptance on the columns of a design.

    Sources: McCullagh and Nelder 1989, "Generalized Linear Models"; Liang and Zeger 1986, for the errors; Konis 2007, for the
    linear program that finds separation.

    Args:
        terms: a name for every column.
        design: of shape (observations, terms); a constant is one of the columns.
        accepted: of shape (observations,).
        cluster: of shape (observations,): observations with the same number are not taken as independent.

    Returns:
        Or why it cannot be fitted, as a clause.

    Raises:
        ConfigError: statsmodels is not installed.
    """
    # Not the whole library, which takes a second and a hundred megabytes to import.
    linear = extra("statsmodels.genmod.generalized_linear_model", "report")
    clusters = len(np.unique(cluster))
    if accepted.all() or not accepted.any():
        return f"all {len(accepted):,} dialogues are {'accepted' if accepted.all() else 'not accepted'}"
    if clusters < FEWEST_CLUSTERS:
        return f"there are {clusters} cells of dialogues, and {FEWEST_CLUSTERS} are needed for an interval"
    if np.linalg.matrix_rank(design) < len(terms):
        return "the dialogues do not tell its terms apart: some are sums of others in all of them"
    # What is alike counts together: the estimate is the same, and the work that of the cells and not of the dialogues.
    alike, place = np.unique(np.column_stack([cluster, design]), axis=0, return_inverse=True)
    counts = np.bincount(2 * place.reshape(-1) + ~accepted, minlength=2 * len(alike)).reshape(-1, 2)
    cluster, design = alike[:, 0].astype(np.int64), alike[:, 1:]
    if separated := _separated(terms, design, counts):
        return f"{' and '.join(separated)} tell accepted from other dialogues without exception, which leaves no finite estimate"
    fitted = linear.GLM(counts, design, family=linear.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": cluster}
    )
    ends = fitted.conf_int()
    ratios = {
        term: Interval(float(ratio), float(low), float(high), len(accepted))
        for term, ratio, (low, high) in zip(terms, np.exp(fitted.params), np.exp(ends), strict=True)
    }
    return Fit(ratios, clusters)


def _separated(terms: Sequence[str], design: NDArray[np.float64], counts: NDArray[np.integer]) -> list[str]:
    """The terms along which the likelihood rises for ever; none where the estimate is finite.

    Args:
        terms: a name for every column.
        design: of shape (rows, terms).
        counts: of shape (rows, 2): accepted and not.
    """
    optimize = extra("scipy.optimize", "report")
    rows, place = np.unique(design, axis=0, return_inverse=True)
    some, other = (
        np.bincount(place.reshape(-1), weights=which, minlength=len(rows)) > 0 for which in counts.T
    )
    mixed, signed = rows[some & other], np.where(some[:, None], rows, -rows)[some ^ other]
    if not len(signed):
        return []
    found = optimize.linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(len(signed)),
        A_eq=mixed if len(mixed) else None,
        b_eq=np.zeros(len(mixed)) if len(mixed) else None,
        bounds=(-1, 1),
    )
    if -found.fun < 1e-7:
        return []
    return [term for term, moved in zip(terms, found.x, strict=True) if abs(moved) > 1e-7]
