"""Half precision on a CPU: whether it can work in it.

Law of the file: a CPU is tried and not looked up. One without instructions for a half-precision type refuses to pack weights
of it, and with weights that are not packed it takes two to four times as long as in float32.
"""

from typing import Any, Literal

from builder.errors import ConfigError, first_line

Precision = Literal["auto", "float32", "bfloat16", "float16"]
HALF = ("bfloat16", "float16")


def refusal(torch: Any, dtype: str) -> str | None:
    """Tries a small linear layer on the CPU.

    Args:
        torch: the module.
        dtype: of the layer's weights, as PyTorch calls it.

    Returns:
        What PyTorch says against it; None where the CPU can work in it.
    """
    weight = torch.ones(8, 8, dtype=getattr(torch, dtype))
    try:
        torch.nn.functional.linear(weight, weight)
        if torch.backends.mkldnn.is_available():
            torch.ops.mkldnn._reorder_linear_weight(weight)  # noqa: SLF001 - it has no public name
    except RuntimeError as error:
        return first_line(error)
    return None


def device(torch: Any, asked: str | None, dtype: str) -> str:
    """Where to compute, before weights are loaded.

    Args:
        torch: the module.
        asked: as PyTorch says it; None takes the GPU where there is one, else the CPU.
        dtype: to compute in, as PyTorch calls it, or `auto`.

    Raises:
        ConfigError: it is a CPU that cannot work in half precision.
    """
    name = asked or ("cuda" if torch.cuda.is_available() else "cpu")
    if dtype in HALF and name.partition(":")[0] == "cpu" and (why := refusal(torch, dtype)):
        raise ConfigError(
            f"dtype is {dtype!r}, and this CPU cannot work in it ({why}): set dtype = 'float32', or device to a GPU"
        )
    return name


def fitted(torch: Any, network: Any) -> Any:
    """A network as it was saved, or in float32 where it is on a CPU that cannot work in that."""
    saved = str(network.dtype).removeprefix("torch.")
    if network.device.type == "cpu" and saved in HALF and refusal(torch, saved):
        return network.float()
    return network
