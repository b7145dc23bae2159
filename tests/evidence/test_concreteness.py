"""What the comparison with norms promises: words are rated as published, and what the norms lack is said."""

import msgspec
import numpy as np
import pytest

from builder.core.scenario import parse_id
from builder.errors import ConfigError
from builder.evidence import Options
from builder.evidence.findings import Absent, gather
from builder.evidence.findings.concreteness import find, read_norms, spearman
from tests.evidence.judging import chart, judged, review, study, table
from tests.runs import spoken

pytest.importorskip("statsmodels")
NORMS = "Word,Bigram,Conc.M,Conc.SD\nbanana,0,5,0.1\nbeach ball,1,4.9,0.2\nhope,0,1.25,0.9\nidea,0,1.75,1\n"


def norms(folder, text=NORMS):
    path = folder / "norms.csv"
    path.write_text(text, encoding="utf-8")
    return path


def said(folder, words, made=None, judge=review):
    """A judged run whose dialogues say words by domain, twice in every turn."""
    made = made or study()
    with judged(folder / "made", made, judge) as run:
        scenarios, reviews = list(run.scenarios), list(run.reviews)
    run = type(run)(folder / "run", made)
    for scenario in scenarios:
        text = spoken(scenario)
        turns = tuple(
            msgspec.structs.replace(turn, text=f"{words(scenario.domain)}, {words(scenario.domain)}!")
            for turn in text.turns
        )
        run.dialogues.append(scenario.id, msgspec.structs.replace(text, turns=turns))
    for each in reviews:
        run.reviews.append(each.id, each)
    return run


def test_a_domain_is_as_concrete_as_its_words_that_the_norms_have(tmp_path):
    words = {"travel": "Banana, hope nowhere", "work": "IDEA of hope"}
    with said(tmp_path, words.get) as run:
        found = find(gather(run, Options(concreteness=norms(tmp_path))))
    rows = {row["domain"]: row for row in table(found, "by_domain")}
    assert list(rows) == ["travel", "work"], "the most concrete first"
    assert rows["travel"]["concreteness"] == pytest.approx((5 + 1.25) / 2)
    assert rows["work"]["concreteness"] == pytest.approx((1.75 + 1.25) / 2)
    (found_table,) = found.tables
    places = [(column.name, column.unit) for column in found_table.columns]
    shares = [row[places.index(("words rated", "%"))] for row in found_table.rows]
    assert shares == pytest.approx([100 * 2 / 3] * 2)
    assert (
        "travel is the most concrete of 2 domains (3.12 of 1 to 5), work the most abstract (1.50)"
        in found.says
    )
    assert "the norms rate 66.7 %" in found.says
    assert "counting all words that the norms have" in found.says


def test_domains_that_are_accepted_the_more_the_more_concrete_they_are_show_it(tmp_path):
    made = study(plan={"domains": None, "pairings": ("phi4-mini",), "dialogues_per_cell": 8})
    domains = list(made.vocabulary.domains)
    ratings = dict(zip(domains, np.linspace(1, 5, len(domains)), strict=True))
    path = norms(
        tmp_path,
        "Word\tConc.M\n"
        + "".join(f"{name.replace('_', '')}\t{rating}\n" for name, rating in ratings.items()),
    )

    def judge(dialogue):
        better = parse_id(dialogue.id).index <= 1 + 1.5 * ratings[dialogue.domain]
        return review(dialogue, 4.0 if better else 2.0)

    with said(tmp_path, lambda domain: domain.replace("_", ""), made, judge) as run:
        found = find(gather(run, Options(concreteness=path)))
    scatter = chart(found, "by_domain")
    assert not scatter.joined
    assert scatter.x == pytest.approx(sorted(ratings.values(), reverse=True))
    low, high = map(
        float,
        found.says.partition("rank correlation is ")[2].partition("(")[2].partition(",")[0].split(" to "),
    )
    assert 0.7 < low < high <= 1
    odds = found.says.partition("the odds of being accepted are ")[2]
    assert float(odds.split()[0]) > 1.5


def test_where_a_part_of_speech_is_given_only_content_words_count(tmp_path):
    path = norms(tmp_path, "Word,Conc.M,Dom_Pos\nbanana,5,Noun\nthe,1.43,Article\nhope,1.25,Verb\n")
    assert read_norms(path) == ({"banana": 5.0, "hope": 1.25}, True)


def test_the_published_text_with_tabs_and_a_byte_order_mark_is_read(tmp_path):
    path = norms(tmp_path, '\ufeffWord\tBigram\tConc.M\r\nBanana\t0\t5\r\n"roadsweeper"\t0\t4.85\r\n')
    assert read_norms(path) == ({"banana": 5.0, "roadsweeper": 4.85}, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Word,Rating\na,1\n", "has no column 'Conc.M'"),
        ("", "has no column 'Word'"),
        ("Word,Conc.M\nbanana,5\nhope,much\n", "line 3: Conc.M is 'much'"),
        ("Word,Conc.M\nbanana,7\n", "line 2: Conc.M is '7': a number from 1 to 5"),
        ("Word,Conc.M\nbanana\n", "line 2: Conc.M is None"),
    ],
)
def test_a_file_that_is_not_the_norms_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(ConfigError) as refused:
        read_norms(norms(tmp_path, text))
    assert message in str(refused.value)
    assert "norms.csv" in str(refused.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"missing.csv: No such file"):
        read_norms(tmp_path / "missing.csv")
    (tmp_path / "norms.xlsx").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        read_norms(tmp_path / "norms.xlsx")


def test_without_norms_the_finding_says_where_they_are_published(tmp_path):
    with judged(tmp_path / "run") as run:
        found = find(gather(run))
    assert isinstance(found, Absent)
    assert "10.3758/s13428-013-0403-5" in found.reason


def test_norms_that_know_none_of_the_words_are_said(tmp_path):
    with said(tmp_path, lambda _: "Bratwurst") as run:
        found = find(gather(run, Options(concreteness=norms(tmp_path))))
    assert isinstance(found, Absent)
    assert "knows none of the words" in found.reason


def test_the_rank_correlation_holds_a_true_one_and_is_none_of_constants():
    assert spearman([1, 2, 3, 4], [1, 4, 9, 16]).value == pytest.approx(1)
    assert spearman([1, 2, 3], [2, 2, 2]).value is None
    draw = np.random.default_rng(1)
    # Of normal variables that correlate by r the ranks do by 6 asin(r / 2) / pi (Pearson 1907).
    truth, held = 6 / np.pi * np.arcsin(0.5 / 2), 0
    for _ in range(200):
        one, other = draw.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 41).T
        found = spearman(one.tolist(), other.tolist())
        held += found.low <= truth <= found.high
    assert held >= 180
