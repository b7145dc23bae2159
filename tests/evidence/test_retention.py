"""What the shares of accepted dialogues promise: they are counted right, and compared with the paper's own only."""

import msgspec
import pytest

from builder.core.interval import share
from builder.core.scenario import parse_id
from builder.evidence.findings import gather
from builder.evidence.findings.retention import find, paper
from tests.evidence.judging import broken, chart, judged, review, study, table


def by_index(dialogue):
    """Of eight of a cell: five accepted, one rejected by a rule, one by the panel, one not judged."""
    place = parse_id(dialogue.id).index
    return {1: broken(dialogue), 2: review(dialogue, 2.0), 3: None}.get(place, review(dialogue))


@pytest.fixture
def found(tmp_path):
    with judged(tmp_path / "run", study(8), by_index) as run:
        yield find(gather(run))


def test_a_share_is_of_what_was_judged_and_comes_with_wilsons_interval(found):
    expected = share(10, 14)
    for row in (*table(found, "by_pairing"), *table(found, "by_domain")):
        assert row["judged"] == 14
        ends = (row["accepted"], row["accepted from"], row["accepted to"])
        assert ends == pytest.approx([100 * one for one in expected[:3]])
    assert {row["planned"] for row in table(found, "by_pairing")} == {16}
    assert "20 accepted, 8 rejected, 0 undecided. 4 more are held and not judged yet" in found.says


def test_the_table_by_turns_adds_up_to_the_same_dialogues(found):
    rows = table(found, "by_turns")
    assert sum(row["judged"] for row in rows) == 28
    assert round(sum(row["judged"] * row["accepted"] / 100 for row in rows)) == 20
    cells = table(found, "by_pairing_and_turns")
    assert sum(row["judged"] for row in cells) == 28


def test_why_dialogues_were_dropped_is_counted_by_criterion(found):
    reasons = {(row["outcome"], row["criterion"]): row["dialogues"] for row in table(found, "reasons")}
    panel = dict.fromkeys((("rejected", name) for name in ("coherence", "emotion", "naturalness")), 4)
    assert reasons == panel | {("rejected", "length"): 4}
    assert {row["outcome"]: row["dialogues"] for row in table(found, "outcomes")} == {
        "planned": 32,
        "still to be held": 0,
        "held": 32,
        "accepted": 20,
        "rejected": 8,
        "undecided": 0,
        "not judged": 4,
    }


def test_a_dialogue_left_undecided_counts_as_not_accepted(tmp_path):
    made = study()
    made = msgspec.structs.replace(made, acceptance=msgspec.structs.replace(made.acceptance, quorum=3))
    with judged(tmp_path / "run", made) as run:
        found = find(gather(run))
    assert {row["accepted"] for row in table(found, "by_domain")} == {0}
    assert "0 accepted, 0 rejected, 8 undecided" in found.says


def test_the_papers_shares_stand_beside_pairings_of_the_same_name_only(found, tmp_path):
    theirs = {row["pairing"]: row["paper"] for row in table(found, "by_pairing")}
    assert theirs == pytest.approx({"phi4-mini": 100 * 1150 / 4100, "llama3-8B_gemma3-4B": 100 * 2021 / 4100})
    assert chart(found, "by_pairing").points
    made = study()
    pairings = {"mine": made.vocabulary.pairings["phi4-mini"]}
    vocabulary = msgspec.structs.replace(made.vocabulary, pairings=pairings)
    with judged(tmp_path / "mine", study(vocabulary=vocabulary, plan={"pairings": None})) as run:
        own = find(gather(run))
    assert [row["paper"] for row in table(own, "by_pairing")] == [None]
    assert not chart(own, "by_pairing").points
    assert len(chart(own, "by_turns").series) == 1
    assert "paper" not in own.says


def test_by_turns_the_paper_is_the_mean_of_the_same_pairings(found):
    rows = {row["turns"]: row for row in table(found, "by_turns")}
    at_five = (44 + 52) / 2
    assert rows[5]["paper"] == pytest.approx(at_five)
    assert rows[5]["paper to"] - rows[5]["paper"] == pytest.approx(10 / 2**0.5)


def test_the_shipped_estimates_are_of_all_pairings_and_near_the_papers_own_total():
    kept = paper().kept
    assert len(kept) == 16
    total = sum(one.dialogues for one in kept.values())
    error = sum(one.standard_error**2 for one in kept.values()) ** 0.5
    assert abs(total - 40_150) < 2 * error
    assert {len(one.by_turns) for one in kept.values()} == {len(paper().turns)}
