import asyncio
import shutil
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
transformers = pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")

from builder.core.prompt import Message, Prompt  # noqa: E402
from builder.errors import ConfigError, EndpointError, ProtocolError  # noqa: E402
from builder.plugins import make  # noqa: E402
from builder.plugins.llm import Backend  # noqa: E402
from builder.plugins.llm.transformers import Transformers, _Loaded  # noqa: E402
from tests.llm.asking import HUB_ID, a_model, a_prompt, ask, opened  # noqa: E402
from tests.tiny import TEMPLATE, make_llama  # noqa: E402


def user(text="Hello?", **more) -> Prompt:
    return a_prompt(text, system=False, **{"max_tokens": 16, "temperature": 1.0, "top_p": 1.0, **more})


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """A network this small would only wait for a second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def backend(tiny_llama):
    return Transformers(path=str(tiny_llama), device="cpu")


@pytest.fixture(scope="module")
def reference(tiny_llama):
    """The same model, asked without any of our code: prompt text to logits of shape (tokens, vocabulary)."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_llama)
    network = transformers.AutoModelForCausalLM.from_pretrained(tiny_llama).eval()

    def logits(text, reply=()):
        chat = f"<begin>[user]{text}<end>[assistant]"
        ids = [*tokenizer(chat, add_special_tokens=False)["input_ids"], *reply]
        with torch.inference_mode():
            return network(torch.tensor([ids])).logits[0], tokenizer

    return logits


def test_a_site_names_it_by_its_file():
    assert isinstance(make(Backend, {"backend": "transformers", "limit": 4}, "site"), Transformers)


def test_a_folder_is_known_by_its_whole_path_and_a_digest_of_its_weights(backend, tmp_path):
    checkpoint, limit = opened(backend)
    path, _, digest = checkpoint.partition("@")
    assert (path, len(digest), limit) == (str(Path(backend.path).resolve()), 16, 16)
    copy = Path(shutil.copytree(backend.path, tmp_path / "copy"))
    assert opened(Transformers(path=str(copy)))[0] == f"{copy}@{digest}"
    (weights,) = copy.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"@")
    assert opened(Transformers(path=str(copy)))[0].partition("@")[2] not in {"", digest}


def test_a_folder_with_the_name_of_a_repository_does_not_pass_for_it(backend, tmp_path, monkeypatch):
    shutil.copytree(backend.path, tmp_path / HUB_ID)
    monkeypatch.chdir(tmp_path)
    assert opened(Transformers())[0].startswith(f"{tmp_path / HUB_ID}@")


def test_at_temperature_0_every_token_is_the_likeliest(backend, reference):
    (completion,) = ask(backend, user(temperature=0.0, max_tokens=40))
    said = []
    for _ in range(completion.completion_tokens):
        logits, tokenizer = reference("Hello?", said)
        said.append(int(logits[-1].argmax()))
    assert completion.text == tokenizer.decode(said, skip_special_tokens=True)
    assert completion.prompt_tokens == len("[user]Hello?[assistant]") + 2


def test_a_completion_does_not_depend_on_those_beside_it(backend):
    prompts = [user("Why? " * (n % 7), seed=n, temperature=0.5 + n / 10, top_p=1 - n / 40) for n in range(12)]
    together = ask(backend, *prompts)
    assert list(together) == [ask(backend, prompt)[0] for prompt in prompts]
    assert list(together)[::-1] == list(ask(backend, *prompts[::-1]))


def test_the_seed_decides(backend):
    first, second, third = ask(backend, user(seed=1), user(seed=1), user(seed=2))
    assert first == second
    assert first != third


def test_a_reply_ends_where_the_model_ends_it_or_is_cut_off(backend):
    prompts = [user(seed=seed, max_tokens=48, temperature=2.0) for seed in range(48)]
    completions = ask(backend, *prompts)
    stopped = [one for one in completions if one.finish_reason == "stop"]
    cut = [one for one in completions if one.finish_reason == "length"]
    assert stopped
    assert cut
    assert all(one.completion_tokens <= 48 for one in stopped)
    assert all(one.completion_tokens == 48 for one in cut)
    assert not any("<end>" in one.text for one in completions)
    longer = ask(backend, *(user(seed=seed, max_tokens=64, temperature=2.0) for seed in range(48)))
    for short, long in zip(completions, longer, strict=True):
        if short.finish_reason == "stop":
            assert long == short
        else:
            assert long.completion_tokens > 48


def test_each_prompt_of_a_batch_has_its_own_length(backend):
    short, long = ask(backend, user(seed=3, max_tokens=2), user(seed=3, max_tokens=9))
    assert (short.completion_tokens, short.finish_reason) == (2, "length")
    assert long.completion_tokens > 2


def test_the_nucleus_holds(backend, reference):
    logits, tokenizer = reference("Hello?")
    chances, places = torch.softmax(logits[-1], -1).sort(descending=True)
    size = int((chances.cumsum(-1) < 0.5).sum()) + 1
    nucleus = {tokenizer.decode(place, skip_special_tokens=True) for place in places[:size]}
    firsts = {
        one.text for one in ask(backend, *(user(seed=seed, max_tokens=1, top_p=0.5) for seed in range(200)))
    }
    assert firsts == nucleus
    every = {one.text for one in ask(backend, *(user(seed=seed, max_tokens=1) for seed in range(200)))}
    assert every > nucleus


def test_tokens_come_as_often_as_the_model_says(backend, reference):
    logits, tokenizer = reference("Hello?")
    chances = torch.softmax(logits[-1] / 0.8, -1)
    letters = [token for token in range(len(tokenizer)) if tokenizer.decode(token).isascii() and token > 1]
    likeliest = max(letters, key=lambda token: float(chances[token]))
    asked = 600
    completions = ask(backend, *(user(seed=seed, max_tokens=1, temperature=0.8) for seed in range(asked)))
    share = sum(one.text == tokenizer.decode(likeliest) for one in completions) / asked
    chance = float(chances[likeliest])
    assert abs(share - chance) < 4 * (chance * (1 - chance) / asked) ** 0.5


def test_a_chat_template_without_a_system_role_refuses_one_and_spoils_no_neighbour(backend):
    async def main():
        async with backend.open(a_model()) as endpoint:
            return await asyncio.gather(
                endpoint.complete(a_prompt()), endpoint.complete(user()), return_exceptions=True
            )

    refused, answered = asyncio.run(main())
    assert isinstance(refused, ProtocolError)
    assert "System role not supported" in str(refused)
    assert answered == ask(backend, user())[0]


def test_what_does_not_fit_the_context_is_refused_with_the_numbers(backend):
    with pytest.raises(ProtocolError, match=r"524 tokens of prompt and max_tokens = 16 .* context of 512"):
        ask(backend, user("x" * 505))
    assert ask(backend, user("x" * 476))


def test_batches_are_as_large_as_the_limit_allows(tiny_llama, monkeypatch):
    sizes = []
    real = _Loaded.generate
    monkeypatch.setattr(
        _Loaded, "generate", lambda self, batch: sizes.append(len(batch)) or real(self, batch)
    )
    ask(Transformers(path=str(tiny_llama), device="cpu", limit=4), *(user(seed=n) for n in range(10)))
    assert sizes == [4, 4, 2]


def test_a_batch_that_fails_is_heard_of_by_all_and_the_next_is_answered(backend, monkeypatch):
    real = _Loaded.generate
    broken = [True]

    def fail_once(self, batch):
        if broken.pop() if broken else False:
            raise RuntimeError("CUDA out of memory\nTried to allocate")
        return real(self, batch)

    monkeypatch.setattr(_Loaded, "generate", fail_once)

    async def main():
        async with backend.open(a_model()) as endpoint:
            both = (endpoint.complete(user(seed=n)) for n in range(2))
            failed = await asyncio.gather(*both, return_exceptions=True)
            return failed, await endpoint.complete(user())

    failed, answered = asyncio.run(main())
    assert [type(one) for one in failed] == [EndpointError, EndpointError]
    assert "batch of 2 failed: CUDA out of memory (" in str(failed[0])
    assert answered.completion_tokens


def test_a_prompt_given_up_leaves_the_others_alone(backend):
    async def main():
        async with backend.open(a_model()) as endpoint:
            given_up, kept = (asyncio.create_task(endpoint.complete(user(seed=n))) for n in range(2))
            await asyncio.sleep(0)
            given_up.cancel()
            return await kept

    assert asyncio.run(main()) == ask(backend, user(seed=1))[0]


def test_closing_does_not_wait_for_a_long_batch(tmp_path):
    backend = Transformers(path=str(make_llama(tmp_path, context=10**9)), device="cpu")

    async def main():
        async with backend.open(a_model()) as endpoint:
            endless = asyncio.create_task(endpoint.complete(user(max_tokens=10**8, temperature=0.0)))
            await asyncio.sleep(0.05)
            assert not endless.done()
            endless.cancel()

    asyncio.run(main())


def test_the_chat_alternates_as_the_template_has_it(backend, reference):
    messages = tuple(
        Message(role=role, content=text) for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"))
    )
    prompt = user(temperature=0.0, max_tokens=1)
    (completion,) = ask(backend, Prompt(model="m", messages=messages, decoding=prompt.decoding, seed=1))
    logits, tokenizer = reference("a<end>[assistant]b<end>[user]c")
    assert completion.text == tokenizer.decode(logits[-1].argmax(), skip_special_tokens=True)


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot load .*nothing-here"):
        opened(Transformers(path=str(tmp_path / "nothing-here")))


def test_weights_that_are_cut_off_are_named(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=r"cannot load .*cut' on 'cpu': "):
        opened(Transformers(path=str(folder), device="cpu"))


def test_a_device_that_is_not_there_is_named(tiny_llama):
    with pytest.raises(ConfigError, match="'warp:3'"):
        opened(Transformers(path=str(tiny_llama), device="warp:3"))


def test_a_model_that_was_not_trained_to_chat_is_refused(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="no chat template"):
        opened(Transformers(path=str(folder), device="cpu"))


def test_a_missing_extra_is_named_with_its_repair(tiny_llama, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'deepdialogue\[transformers\]'"):
        opened(Transformers(path=str(tiny_llama)))


def test_a_penalty_or_a_cut_of_extra_shapes_every_draw_and_no_neighbour_changes_it(tiny_llama, reference):
    extra = {"repetition_penalty": 1.3, "top_k": 2, "min_p": 0.05}
    one = Transformers(path=str(tiny_llama), device="cpu", extra=extra)
    prompts = [user("Why? " * n, seed=n, max_tokens=24) for n in range(6)]
    together = ask(one, *prompts)
    assert list(together) == [ask(one, prompt)[0] for prompt in prompts]
    greedy = Transformers(path=str(tiny_llama), device="cpu", extra={"top_k": 1})
    (likeliest,) = ask(greedy, user(temperature=1.5, max_tokens=24))
    assert likeliest == ask(greedy, user(temperature=0.0, max_tokens=24))[0]


def test_what_else_is_in_extra_is_told_to_the_chat_template(tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "thinker")
    template = "{% if not enable_thinking %}[quick]{% endif %}{{ effort }}" + TEMPLATE
    (folder / "chat_template.jinja").write_text(template)
    extra = {"effort": "low", "chat_template_kwargs": {"enable_thinking": False}}
    told, untold, free = (
        ask(Transformers(path=str(folder), device="cpu", extra=extra), user())[0].prompt_tokens
        for extra in (extra, {}, {"enable_thinking": True})
    )
    assert (told - untold, untold - free) == (len("low"), len("[quick]"))


def test_extra_says_nothing_that_the_study_says_and_nothing_wrong(tiny_llama):
    with pytest.raises(ValueError, match=r"extra.temperature is what the study's decoding says"):
        Transformers(extra={"temperature": 2.0})
    with pytest.raises(ValueError, match="chat_template_kwargs is not a table"):
        Transformers(extra={"chat_template_kwargs": "no"})
    with pytest.raises(ConfigError, match="top_k"):
        opened(Transformers(path=str(tiny_llama), device="cpu", extra={"top_k": -1}))
    with pytest.raises(ProtocolError, match="chat template refuses"):
        ask(Transformers(path=str(tiny_llama), device="cpu", extra={"tokenize": True}), user())


def test_what_is_thought_is_told_from_what_is_said_and_counted(tiny_llama):
    async def read(text):
        backend = Transformers(path=str(tiny_llama), device="cpu")
        loaded = backend._load(a_model())
        return loaded.read([*loaded.tokenizer(text, add_special_tokens=False)["input_ids"], loaded.ends[0]])

    assert asyncio.run(read("<think>Hm.</think> Hi there.")) == ("Hm.", "Hi there.")
    assert asyncio.run(read("Hm.<end></think>\n\nHi there.")) == ("Hm.", "Hi there.")
    assert asyncio.run(read(" Hi there.<begin>")) == ("", " Hi there.")
