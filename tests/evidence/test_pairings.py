"""What the comparison of pairings promises: the partner's strength does not pass for an effect of being different."""

import math

import numpy as np
import pytest

from builder.core.interval import share
from builder.core.scenario import parse_id
from builder.evidence.findings import Absent, gather
from builder.evidence.findings._logistic import FEWEST_CLUSTERS, Fit, fit
from builder.evidence.findings.pairings import cross_effect, difference, find
from tests.evidence.judging import chart, judged, review, study, table

pytest.importorskip("statsmodels")
MODELS = tuple("abcdef")
STRENGTH = np.array([-1.2, -0.8, -0.4, 0.6, 1.0, 1.4])
# Weak models talk to themselves, strong ones across: whoever only counts sees an effect where there is none.
PAIRS = np.array([(0, 0), (1, 1), (2, 2), (3, 3), (0, 1), (3, 4), (3, 5), (4, 5), (4, 3), (5, 4), (2, 3)])
DOMAINS = 20


def simulated(seed, effect, per_cell=20):
    """Speakers, turns, acceptance and cells; every cell has an ease of its own, so that its dialogues are alike."""
    draw = np.random.default_rng(seed)
    pairing = np.repeat(np.arange(len(PAIRS)), DOMAINS * per_cell)
    cell = np.repeat(np.arange(len(PAIRS) * DOMAINS), per_cell)
    speakers = PAIRS[pairing]
    turns = draw.integers(3, 11, len(pairing))
    cross = speakers[:, 0] != speakers[:, 1]
    logit = STRENGTH[speakers].sum(axis=1) - 0.25 * (turns - 6.5) + effect * cross
    logit += draw.normal(0, 0.3, len(PAIRS) * DOMAINS)[cell]
    accepted = draw.random(len(logit)) < 1 / (1 + np.exp(-logit))
    return speakers, turns, accepted, cell


@pytest.mark.parametrize("effect", [0.0, 0.7])
def test_the_interval_holds_the_true_effect_in_95_of_100_runs_and_the_raw_difference_is_fooled(effect):
    held = fooled = 0
    runs = 40
    for seed in range(runs):
        speakers, turns, accepted, cell = simulated([seed, round(10 * effect)], effect, per_cell=8)
        cross = speakers[:, 0] != speakers[:, 1]
        fitted = cross_effect(MODELS, speakers, turns, accepted, cell)
        ratio = fitted.ratios["cross"]
        # What is true of all cells together is a little less than of one cell (Zeger, Liang and Albert 1988).
        truth = effect / math.sqrt(1 + 0.346 * 0.3**2)
        held += math.log(ratio.low) <= truth <= math.log(ratio.high)
        counts = np.array(
            [
                [(accepted & cross).sum(), (~accepted & cross).sum()],
                [(accepted & ~cross).sum(), (~accepted & ~cross).sum()],
            ]
        )
        raw = math.log(counts[0, 0] * counts[1, 1] / counts[0, 1] / counts[1, 0])
        fooled += raw - 1.96 * math.sqrt((1 / counts).sum()) > effect
    # 95 % of 40 is 38; an interval that is right holds fewer than 34 in one of 300 such tests.
    assert held >= 34
    assert fooled >= 0.95 * runs


def test_the_strengths_of_the_models_are_found_again():
    speakers, turns, accepted, cell = simulated(1, 0.7, per_cell=120)
    fitted = cross_effect(MODELS, speakers, turns, accepted, cell)
    found = [math.log(fitted.ratios[f"strength of {name}"].value) for name in MODELS[1:]]
    assert found == pytest.approx(STRENGTH[1:] - STRENGTH[0], abs=0.2)
    assert math.log(fitted.ratios["one more turn"].value) == pytest.approx(-0.25, abs=0.04)
    assert fitted.clusters == len(PAIRS) * DOMAINS


def test_counting_what_is_alike_together_changes_nothing():
    from statsmodels.api import GLM, families

    speakers, turns, accepted, cell = simulated(2, 0.7, per_cell=6)
    cross = speakers[:, 0] != speakers[:, 1]
    design = np.column_stack([np.ones(len(cross)), cross, turns])
    ours = fit(("constant", "cross", "turns"), design, accepted, cell)
    theirs = GLM(accepted.astype(float), design, family=families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": cell}
    )
    for term, value, (low, high) in zip(ours.ratios, theirs.params, theirs.conf_int(), strict=True):
        assert np.log(ours.ratios[term][:3]) == pytest.approx([value, low, high], abs=2e-3)


def separated():
    """A model that never fails makes its strength infinite."""
    speakers, turns, accepted, cell = simulated(3, 0.0)
    return speakers, turns, accepted | (speakers == 5).any(axis=1), cell


def test_a_model_that_never_fails_leaves_no_number_and_is_named():
    assert cross_effect(MODELS, *separated()).startswith("strength of f tell")


def test_strengths_that_no_dialogue_tells_apart_leave_no_number():
    speakers, turns, accepted, cell = simulated(4, 0.0)
    alone = np.isin(np.arange(len(PAIRS)), (0, 5))[np.repeat(np.arange(len(PAIRS)), DOMAINS * 20)]
    reason = cross_effect(MODELS, speakers[alone], turns[alone], accepted[alone], cell[alone])
    assert "do not tell its terms apart" in reason


def test_where_everything_or_too_little_is_accepted_there_is_no_number():
    speakers, turns, accepted, cell = simulated(5, 0.0)
    everything = cross_effect(MODELS, speakers, turns, np.ones(len(cell), bool), cell)
    assert everything == f"all {len(cell):,} dialogues are accepted"
    few = cross_effect(MODELS, speakers, turns, accepted, cell % (FEWEST_CLUSTERS - 1))
    assert few.startswith(f"there are {FEWEST_CLUSTERS - 1} cells")


def test_dialogues_of_one_length_have_no_term_for_turns():
    speakers, _, accepted, cell = simulated(6, 0.0)
    fitted = cross_effect(MODELS, speakers, np.full(len(cell), 5), accepted, cell)
    assert isinstance(fitted, Fit)
    assert "one more turn" not in fitted.ratios
    assert "strength of f" in fitted.ratios


def test_the_difference_of_two_shares_is_newcombes_worked_example():
    found = difference(share(56, 70), share(48, 80))
    assert found[:3] == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert found.items == 150


def test_the_finding_says_the_raw_difference_and_why_there_is_no_other(tmp_path):
    def judge(dialogue):
        better = dialogue.pairing == "phi4-mini" or parse_id(dialogue.id).index < 4
        return review(dialogue, 4.0 if better else 2.0)

    with judged(tmp_path / "run", study(8), judge) as run:
        found = find(gather(run))
    shares = {row["dialogues of"]: row for row in table(found, "shares")}
    assert shares["two different models"]["accepted"] == pytest.approx(100 * 3 / 8)
    assert shares["difference, in points"]["accepted"] == pytest.approx(100 * (3 / 8 - 1))
    assert "there is no number, for there are 4 cells of dialogues" in found.says
    assert not found.charts


def test_with_the_papers_pairings_the_finding_has_the_adjusted_odds_beside_the_raw(tmp_path):
    made = study(2, plan={"pairings": None, "domains": None, "dialogues_per_cell": 2})
    draw = np.random.default_rng(1)
    strength = dict(zip(made.vocabulary.models, np.linspace(-1.0, 1.2, 9), strict=True))

    def judge(dialogue):
        pair = made.vocabulary.pairings[dialogue.pairing]
        logit = strength[pair.first] + strength[pair.second] + 1.0 * (pair.first != pair.second)
        return review(dialogue, 4.0 if draw.random() < 1 / (1 + math.exp(-logit)) else 2.0)

    with judged(tmp_path / "run", made, judge) as run:
        found = find(gather(run))
    odds = {row["model"]: row for row in table(found, "odds") if row["term"] == "cross"}
    assert odds.keys() == {"raw", "adjusted"}
    assert odds["adjusted"]["odds ratio from"] < math.e < odds["adjusted"]["odds ratio to"]
    assert "accepted more often than their strengths explain" in found.says
    assert len(chart(found, "cross").labels) == 2
    assert chart(found, "cross").reference == 1


def test_with_one_kind_of_pairing_there_is_nothing_to_compare(tmp_path):
    with judged(tmp_path / "run", study(plan={"pairings": ("phi4-mini",)})) as run:
        found = find(gather(run))
    assert isinstance(found, Absent)
    assert "all 4 dialogues judged are of one model with itself" in found.reason
