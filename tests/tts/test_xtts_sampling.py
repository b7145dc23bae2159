"""Tokens are drawn as `transformers` would, each row by its own settings and from its own numbers."""

import msgspec
import pytest

torch = pytest.importorskip("torch", reason="the extra 'xtts' is not installed")
transformers = pytest.importorskip("transformers", reason="the extra 'xtts' is not installed")

from builder.core.speech import Sampling  # noqa: E402
from builder.plugins.tts.xtts.sampling import Sampler  # noqa: E402
from builder.plugins.tts.xtts.synthesizer import SAMPLING  # noqa: E402

VOCABULARY, USED = 40, (1, 7)
SETTINGS = (
    SAMPLING,
    Sampling(temperature=1.5, top_p=1.0, top_k=None, repetition_penalty=1.0),
    Sampling(temperature=0.6, top_p=0.5, top_k=None, repetition_penalty=1.3),
    Sampling(temperature=1.0, top_p=1.0, top_k=5, repetition_penalty=10.0),
    Sampling(temperature=2.0, top_p=0.9, top_k=1000, repetition_penalty=5.0),
    Sampling(temperature=0.01, top_p=0.01, top_k=2, repetition_penalty=2.0),
)


def logits(rows=1, seed=0):
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3


def sampler(*rows) -> Sampler:
    made = Sampler(len(rows), VOCABULARY, 8, torch.device("cpu"))
    for row, (sampling, seed) in enumerate(rows):
        made.admit(row, sampling, seed, USED)
    return made


def warped(scores, sampling):
    """The chances of every token, of shape (vocabulary,), by `transformers`' own processors in the order of `generate`."""
    from transformers.generation import logits_process as parts

    processors = [parts.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)]
    processors.append(parts.TemperatureLogitsWarper(sampling.temperature))
    processors += [parts.TopKLogitsWarper(sampling.top_k)] if sampling.top_k else []
    processors += [parts.TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
    for processor in processors:
        scores = processor(torch.tensor([USED]), scores)
    return scores.softmax(-1)[0]


@pytest.mark.parametrize("sampling", SETTINGS, ids=range(len(SETTINGS)))
def test_every_token_has_the_share_of_the_draws_that_transformers_gives_it(sampling):
    draws = 4000
    even = sampler(*[(sampling, 0)] * draws)
    even._draws[:, 0] = (
        torch.arange(draws) + 0.5
    ) / draws  # every number there is, evenly, in place of a seed's
    tokens = even.draw(logits().expand(draws, -1), torch.zeros(draws, dtype=torch.long))
    shares = torch.bincount(tokens, minlength=VOCABULARY) / draws
    expected = warped(logits(), sampling)
    assert (shares - expected).abs().max() <= 1.5 / draws
    assert set(shares.nonzero().flatten().tolist()) <= set(expected.nonzero().flatten().tolist())


def test_top_k_of_one_takes_the_likeliest_after_the_penalty():
    greedy = sampler((msgspec.structs.replace(SAMPLING, top_k=1), 3))
    favoured = torch.zeros(1, VOCABULARY)
    favoured[0, 7], favoured[0, 9] = 4.0, 1.0
    assert greedy.draw(favoured, torch.tensor([0])).tolist() == [9]
    assert greedy.draw(favoured, torch.tensor([1])).tolist() == [7]  # 4 / 5 against 1 / 5: both were used


def test_a_row_draws_the_same_in_any_place_and_any_company():
    rows = [(sampling, seed) for seed, sampling in enumerate(SETTINGS)]
    scores = [logits(len(rows), step) for step in range(8)]
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    together, shuffled = sampler(*rows), sampler(*(rows[place] for place in order))
    for step, each in enumerate(scores):
        steps = torch.full((len(rows),), step)
        assert torch.equal(together.draw(each, steps)[order], shuffled.draw(each[order], steps))


def test_a_row_begins_anew_with_no_memory_of_the_piece_before():
    used, fresh = sampler((SETTINGS[0], 1)), sampler((SETTINGS[0], 2))
    for step in range(5):
        used.draw(logits(seed=step), torch.tensor([step]))
    used.admit(0, SETTINGS[0], 2, USED)
    for step in range(5):
        assert torch.equal(*(one.draw(logits(seed=step), torch.tensor([step])) for one in (used, fresh)))


def test_another_seed_draws_other_tokens():
    drawn = set()
    for seed in range(5):
        one = sampler((SETTINGS[1], seed))
        drawn.add(tuple(int(one.draw(logits(seed=9), torch.tensor([step]))) for step in range(8)))
    assert len(drawn) == 5


def test_a_row_of_numbers_out_of_range_leaves_the_others_alone():
    scores = logits(2)
    alone = sampler((SETTINGS[0], 4)).draw(scores[1:], torch.tensor([0]))
    scores[0] = torch.nan
    tokens = sampler((SETTINGS[0], 3), (SETTINGS[0], 4)).draw(scores, torch.tensor([0, 0]))
    assert tokens[1] == alone[0]
    assert 0 <= tokens[0] < VOCABULARY
