import asyncio

import pytest

torch = pytest.importorskip("torch", reason="the extra 'transformers' is not installed")
pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")

from builder.core.speech import Voice  # noqa: E402
from builder.errors import ConfigError  # noqa: E402
from builder.plugins.llm.transformers import Transformers  # noqa: E402
from builder.plugins.precision import HALF, device, fitted, refusal  # noqa: E402
from builder.plugins.tts.orpheus import Orpheus  # noqa: E402
from builder.plugins.tts.xtts import Xtts  # noqa: E402
from tests.llm.asking import a_model  # noqa: E402
from tests.precisions import able_to_work_in  # noqa: E402


@pytest.fixture
def unable(monkeypatch):
    """A CPU that cannot work in half precision, whatever this one can."""
    monkeypatch.setattr("builder.plugins.precision.refusal", lambda *_: "no instructions for it")


async def ask(model):
    async with model.open(a_model()):
        pytest.fail("it was loaded")


async def prepare(engine):
    engine.prepare([Voice(name="tara", sex="female")], [])


async def speak(engine):
    async with engine.open():
        pytest.fail("it was loaded")


REFUSED = r"dtype is '(bfloat|float)16', and this CPU cannot work in it \(.+\): set dtype = 'float32', or device to a GPU"


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("where", ["cpu", "cpu:0"])
def test_a_model_in_half_precision_is_refused_before_its_weights_are_looked_for(
    unable, dtype, where, tmp_path
):
    with pytest.raises(ConfigError, match=REFUSED):
        asyncio.run(ask(Transformers(path=str(tmp_path / "nowhere"), device=where, dtype=dtype)))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("how", [prepare, speak])
def test_an_engine_in_half_precision_is_refused_before_its_weights_are_looked_for(
    unable, dtype, how, tmp_path
):
    nowhere = str(tmp_path / "nowhere")
    for engine in (
        Xtts(path=nowhere, references=nowhere, cache=str(tmp_path), device="cpu", dtype=dtype),
        Orpheus(api="transformers", path=nowhere, snac=nowhere, device="cpu", dtype=dtype),
    ):
        with pytest.raises(ConfigError, match=REFUSED):
            asyncio.run(how(engine))


def test_what_is_on_a_gpu_or_in_float32_is_not_the_cpus_business(unable):
    assert device(torch, "cuda:1", "float16") == "cuda:1"
    assert device(torch, "cpu", "float32") == "cpu"
    assert device(torch, "cpu", "auto") == "cpu"


@pytest.mark.parametrize("dtype", HALF)
def test_weights_saved_in_half_precision_work_in_float32_on_a_cpu_that_cannot_do_less(unable, dtype):
    class Saved(torch.nn.Linear):
        @property
        def dtype(self):
            return self.weight.dtype

        @property
        def device(self):
            return self.weight.device

    assert fitted(torch, Saved(2, 2, dtype=getattr(torch, dtype))).dtype == torch.float32


def test_every_cpu_works_in_float32():
    assert refusal(torch, "float32") is None


@pytest.mark.parametrize("dtype", HALF)
def test_a_cpu_that_can_is_not_refused(dtype):
    able_to_work_in(dtype)
    assert device(torch, "cpu", dtype) == "cpu"
