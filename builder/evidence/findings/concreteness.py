"""concreteness: whether dialogues about concrete things are accepted more often than those about abstract ones.

The norms are people's ratings of words from 1 (abstract) to 5 (concrete): Brysbaert, Warriner and Kuperman 2014, "Concreteness
ratings for 40 thousand generally known English word lemmas". They are not shipped; the user names the file.
Law of the file: words count as they stand, and how many of them the norms know is said.
"""

import csv
import math
from collections import Counter
from pathlib import Path

import numpy as np

from builder.core.interval import Interval, share
from builder.core.word import words
from builder.errors import ConfigError, extra
from builder.evidence.findings import (
    OUTCOMES,
    Absent,
    Column,
    Evidence,
    Finding,
    Lines,
    Series,
    Table,
    cells,
    spread,
    told,
)
from builder.evidence.findings._logistic import fit
from builder.files import read_text
from builder.terminal import bar

ORDER = 40
_TITLE = "Concrete and abstract domains"
_WHERE = "https://doi.org/10.3758/s13428-013-0403-5"
_CONTENT = frozenset({"Noun", "Verb", "Adjective", "Adverb", "Name"})


def find(evidence: Evidence) -> Finding | Absent:
    """Reads every dialogue's words."""
    path, held, judged = evidence.options.concreteness, evidence.held, evidence.judged
    if path is None:
        reason = (
            f"no norms were given: --concreteness FILE takes those of Brysbaert, Warriner and Kuperman (2014), published "
            f"with {_WHERE}, saved as CSV or text with the columns Word and Conc.M"
        )
        return Absent(title=_TITLE, reason=reason)
    if not judged.any():
        return Absent(title=_TITLE, reason=evidence.unjudged)
    norms, content = read_norms(path)
    domains = list(evidence.vocabulary.domains)
    sums, known, said = np.zeros(len(domains)), np.zeros(len(domains)), np.zeros(len(domains))
    with bar("concreteness", len(held.ids)) as progress:
        for id, place in zip(held.ids, held.domain, strict=True):
            counts = Counter(word for turn in evidence.run.dialogues[id].turns for word in words(turn.text))
            for word, count in counts.items():
                if (rating := norms.get(word)) is not None:
                    sums[place] += count * rating
                    known[place] += count
            said[place] += counts.total()
            progress.advance()
    present = [
        place for place in range(len(domains)) if known[place] and (judged & (held.domain == place)).any()
    ]
    if not present:
        return Absent(
            title=_TITLE,
            reason=f"{path}: it knows none of the words of these dialogues: is it of another language?",
        )
    concrete = {place: float(sums[place] / known[place]) for place in present}
    accepted = held.outcome == OUTCOMES.index("accepted")
    shares = {
        place: share(
            int((accepted & (held.domain == place) & judged).sum()),
            int((judged & (held.domain == place)).sum()),
        )
        for place in present
    }
    ranked = sorted(present, key=lambda place: (-concrete[place], domains[place]))
    which = judged & np.isin(held.domain, present)
    ratings = np.array([concrete.get(place, math.nan) for place in range(len(domains))])[held.domain[which]]
    deviation = float(np.std(list(concrete.values())))
    odds = (
        "all domains are equally concrete"
        if not deviation
        else fit(
            ("constant", "concreteness"),
            np.column_stack([np.ones(len(ratings)), (ratings - ratings.mean()) / deviation]),
            accepted[which],
            held.domain[which],
        )
    )
    order = spearman(list(concrete.values()), [shares[place].value or 0.0 for place in present])
    kind = "nouns, verbs, adjectives, adverbs and names" if content else "all words that the norms have"
    says = (
        f"{domains[ranked[0]]} is the most concrete of {len(present)} domains ({concrete[ranked[0]]:.2f} of 1 to 5), "
        f"{domains[ranked[-1]]} the most abstract ({concrete[ranked[-1]]:.2f}); the norms rate "
        f"{100 * known.sum() / said.sum():.1f} % of {int(said.sum()):,} words, counting {kind}. Between a domain's concreteness "
        f"and its share accepted Spearman's rank correlation is {told(order, decimals=2)}. "
    )
    if isinstance(odds, str):
        says += f"There is no odds ratio, for {odds}."
    else:
        says += (
            f"With one standard deviation ({deviation:.2f}) more of it the odds of being accepted are "
            f"{told(odds.ratios['concreteness'], 'times', decimals=2)} as high, domains taken as independent."
        )
    return Finding(
        title=_TITLE,
        says=says,
        tables=(
            Table(
                name="by_domain",
                title="By domain, the most concrete first",
                columns=(
                    Column(name="domain"),
                    Column(name="concreteness", unit="1 to 5", decimals=2),
                    Column(name="words rated"),
                    Column(name="words rated", unit="%"),
                    Column(name="judged"),
                    *spread("accepted", "%"),
                ),
                rows=tuple(
                    (
                        domains[place],
                        concrete[place],
                        int(known[place]),
                        float(100 * known[place] / said[place]),
                        shares[place].items,
                        *cells(shares[place], 100),
                    )
                    for place in ranked
                ),
            ),
        ),
        charts=(
            Lines(
                name="by_domain",
                title="Accepted dialogues by how concrete the domain is",
                axis="accepted, of those judged (%)",
                x_axis="mean concreteness of the words (1 abstract to 5 concrete)",
                x=tuple(concrete[place] for place in ranked),
                series=(Series.of("a domain", (shares[place] for place in ranked), 100),),
                joined=False,
            ),
        ),
    )


def read_norms(path: Path) -> tuple[dict[str, float], bool]:
    """Reads the published file.

    Args:
        path: comma- or tab-separated, with the columns `Word` and `Conc.M`, and `Dom_Pos` in some editions.

    Returns:
        The rating of every single word, lower case, from 1 to 5; and whether only content words are in it, which the part of
        speech told apart.

    Raises:
        ConfigError: it cannot be read, lacks a column, or holds what is no rating; names the line.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise ConfigError(f"{path}: {reason}: --concreteness wants the norms as CSV or text") from None
    head = text.partition("\n")[0]
    rows = csv.DictReader(text.splitlines(), delimiter="\t" if "\t" in head else ",")
    columns = rows.fieldnames or ()
    for column in ("Word", "Conc.M"):
        if column not in columns:
            raise ConfigError(
                f"{path}: has no column {column!r}: its first line must name Word and Conc.M, as published"
            )
    tagged = "Dom_Pos" in columns
    norms = {}
    for row in rows:
        if tagged and row["Dom_Pos"] not in _CONTENT:
            continue
        try:
            rating = float(row["Conc.M"])
        except (TypeError, ValueError):
            rating = math.nan
        if not 1 <= rating <= 5:
            raise ConfigError(
                f"{path}, line {rows.line_num}: Conc.M is {row['Conc.M']!r}: a number from 1 to 5 is needed"
            )
        norms[row["Word"].casefold()] = rating
    return norms, tagged


def spearman(first: list[float], second: list[float]) -> Interval:
    """Spearman's rank correlation; none where either has a single value, no interval of fewer than ten pairs.

    Source of the interval: Bonett and Wright 2000, "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations".
    """
    count = len(first)
    if count < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return Interval(None, None, None, count)
    value = float(extra("scipy.stats", "report").spearmanr(first, second).statistic)
    if count < 10 or abs(value) == 1:
        return Interval(value, None, None, count)
    half = 1.959964 * math.sqrt((1 + value * value / 2) / (count - 3))
    return Interval(value, math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half), count)
