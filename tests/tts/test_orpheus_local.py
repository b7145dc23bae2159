import asyncio

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'orpheus' is not installed")
pytest.importorskip("transformers", reason="the extra 'orpheus' is not installed")

from builder.core.speech import Sampling  # noqa: E402
from builder.errors import ConfigError  # noqa: E402
from builder.plugins.tts.orpheus.local import _load, _Request, open_local  # noqa: E402
from builder.plugins.tts.orpheus.tokens import AUDIO, END, parse, prompt  # noqa: E402
from tests.tiny_orpheus import make_orpheus  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
ANY = Sampling(temperature=0.6, top_p=1.0, top_k=None, repetition_penalty=1.0)
USUAL = Sampling(temperature=0.6, top_p=0.9, top_k=None, repetition_penalty=1.1)
SLOT_0 = [*range(AUDIO, AUDIO + 4096), END]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_orpheus(tmp_path_factory.mktemp("orpheus"))


@pytest.fixture(scope="module")
def loaded(folder):
    return _load(str(folder), "ORG/NAME", "cpu", "auto")


@pytest.fixture(scope="module")
def asked(loaded):
    """What waits: a prompt and its sampling, of a greater number every time another length."""

    def request(number=0, sampling=USUAL, seed=None, most=70):
        text = prompt("Well, " * (1 + number % 5) + "hello.", "zoe")
        return _Request(loaded.encode(text), sampling, number if seed is None else seed, most)

    return request


@pytest.fixture(scope="module")
def logits(loaded, asked):
    """The network asked without any of our code: what it gives after the prompt and these tokens."""

    def after(tokens=()):
        with torch.inference_mode():
            return loaded.network(torch.tensor([[*asked().ids, *tokens]])).logits[0, -1]

    return after


def test_every_token_is_in_its_place_and_speech_ends_by_itself_or_is_cut_off(loaded, asked):
    made = loaded.generate([asked(number) for number in range(8)])
    assert {one.ended for one in made} == {True, False}
    for one in made:
        assert one.ended == (one.tokens[-1] == END)
        assert one.ended or len(one.tokens) == 70
        assert parse(one.tokens).stray == 0
        assert one.tokens.count(END) == one.ended
    assert sum(len(parse(one.tokens).codes) for one in made) > 20


def test_what_is_generated_does_not_depend_on_the_rows_beside_it(loaded, asked):
    requests = [
        asked(number, sampling)
        for number, sampling in enumerate((USUAL, ANY, msgspec.structs.replace(USUAL, top_k=9), USUAL))
    ]
    together = loaded.generate(requests)
    assert together == [loaded.generate([request])[0] for request in requests]
    assert together == loaded.generate(requests[::-1])[::-1]


def test_the_seed_decides(loaded, asked):
    first, again, other = loaded.generate([asked(seed=1), asked(seed=1), asked(seed=2)])
    assert first == again
    assert first != other


def test_each_request_of_a_batch_has_its_own_length(loaded, asked):
    short, long = loaded.generate([asked(most=9, seed=5), asked(most=21, seed=5)])
    assert long.tokens[:9] == short.tokens
    assert (len(short.tokens), short.ended) == (9, False)
    assert len(long.tokens) == 21


def test_greedy_search_takes_the_likeliest_of_the_slot_after_the_penalty(loaded, asked, logits):
    penalised, plain = (
        msgspec.structs.replace(ANY, top_k=1, repetition_penalty=penalty) for penalty in (1.4, 1.0)
    )
    made, other = loaded.generate([asked(0, sampling, most=36) for sampling in (penalised, plain)])
    said = []
    while len(said) < len(made.tokens):
        scores = logits(said).clone()
        for token in set(said):
            scores[token] = scores[token] / 1.4 if scores[token] > 0 else scores[token] * 1.4
        slot = len(said) % 7
        allowed = SLOT_0 if slot == 0 else range(AUDIO + 4096 * slot, AUDIO + 4096 * (slot + 1))
        said.append(max(allowed, key=lambda token: float(scores[token])))
    assert made.tokens == said
    assert other != made, "the penalty made a difference"


def test_tokens_come_as_often_as_the_model_says(loaded, asked, logits):
    chances = torch.softmax(logits()[SLOT_0] / 0.6, -1)
    rows, rounds = 80, 5
    firsts = [
        one.tokens[0]
        for start in range(rounds)
        for one in loaded.generate([asked(0, ANY, seed=1000 * start + n, most=1) for n in range(rows)])
    ]
    likely = [SLOT_0[place] for place in chances.argsort(descending=True)[:200]]
    chance = float(chances.sort(descending=True).values[:200].sum())
    share = sum(token in likely for token in firsts) / len(firsts)
    assert 0.2 < chance < 0.95
    assert abs(share - chance) < 4 * (chance * (1 - chance) / len(firsts)) ** 0.5


@pytest.mark.parametrize("cut", [{"top_p": 0.3}, {"top_k": 12}, {"top_p": 0.5, "top_k": 40}], ids=str)
def test_the_nucleus_and_the_top_hold(loaded, asked, logits, cut):
    sampling = Sampling(**{"temperature": 0.6, "top_p": 1.0, "top_k": None, "repetition_penalty": 1.0, **cut})
    ordered, places = (logits()[SLOT_0] / 0.6).sort(descending=True)
    chances = ordered[: sampling.top_k].softmax(-1)
    kept = int((chances.cumsum(-1) - chances < sampling.top_p).sum())
    allowed = {SLOT_0[place] for place in places[:kept]}
    firsts = {
        one.tokens[0] for one in loaded.generate([asked(0, sampling, seed=n, most=1) for n in range(100)])
    }
    assert firsts <= allowed
    assert len(firsts) > min(5, kept / 2)


def test_a_folder_is_taken_for_the_checkpoint_and_takes_a_batch_at_once(folder):
    async def main():
        async with open_local(str(folder), "ORG/NAME", "cpu", "auto", 3) as model:
            text = prompt("Hello.", "tara")
            together = await asyncio.gather(*(model.generate(text, USUAL, seed, 70) for seed in range(5)))
            return model.checkpoint, model.limit, together, await model.generate(text, USUAL, 4, 70)

    checkpoint, limit, together, alone = asyncio.run(main())
    assert (checkpoint, limit) == ("ORG/NAME", 3)
    assert together[4] == alone
    assert len({tuple(one.tokens) for one in together}) == 5


def test_closing_does_not_wait_for_a_long_generation(tmp_path):
    endless = make_orpheus(tmp_path, ending=-100)

    async def main():
        async with open_local(str(endless), "ORG/NAME", "cpu", "auto", 1) as model:
            long = asyncio.create_task(model.generate(prompt("Hello.", "tara"), USUAL, 1, 10**6))
            await asyncio.sleep(0.05)
            assert not long.done()
            long.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("shape", [{"custom": 0}, {"vocabulary": 140000}], ids=str)
def test_a_model_without_tokens_for_speech_is_refused(tmp_path, shape):
    with pytest.raises(ConfigError, match="is no Orpheus: its vocabulary has no tokens for speech"):
        _load(str(make_orpheus(tmp_path, **shape)), "ORG/NAME", "cpu", "auto")


def test_what_cannot_be_loaded_is_named(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"transformers cannot load .*nothing-here"):
        _load(str(tmp_path / "nothing-here"), "ORG/NAME", "cpu", "auto")
    with pytest.raises(ConfigError, match="'warp:3'"):
        _load(str(folder), "ORG/NAME", "warp:3", "auto")


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_download_that_broke_off_is_named_with_its_repair(folder, tmp_path, share):
    for file in folder.iterdir():
        whole = file.read_bytes()
        broken = file.suffix == ".safetensors"
        (tmp_path / file.name).write_bytes(whole[: int(share * len(whole))] if broken else whole)
    with pytest.raises(ConfigError, match=r"cannot load .*: name a folder that holds the whole checkpoint"):
        _load(str(tmp_path), "ORG/NAME", "cpu", "auto")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_absent_is_named(folder):
    with pytest.raises(ConfigError, match=r"on 'cuda': .+, and a device that is here"):
        _load(str(folder), "ORG/NAME", "cuda", "auto")


def test_codes_are_as_varied_as_the_sampling_lets_them_be(loaded, asked):
    (made,) = loaded.generate([asked(0, ANY, seed=3, most=70)])
    codes = parse(made.tokens).codes
    assert len(np.unique(codes)) > codes.size / 2
