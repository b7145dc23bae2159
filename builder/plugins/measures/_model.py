"""Models that measure: from the weights of a site to a network that is ready, and from a clip to what it hears.

Law of the file: what a site has no weights or no library for does not run; what it has and cannot be used is an error, and so is
a network with a layer that nobody trained.
"""

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from builder.errors import ConfigError, NotRunError, extra, first_line
from builder.plugins.measures import Spoken, Weights

_SHORTEST_S = 0.5


def needed(module: str, name: str) -> Any:
    """Imports `module`, which the extra `name` installs.

    Raises:
        NotRunError: it is not installed; says what to install.
    """
    try:
        return extra(module, name)
    except ConfigError as error:
        raise NotRunError(str(error)) from None


def required(weights: Weights | None, measure: str) -> Weights:
    """The weights of a measure that cannot do without.

    Raises:
        NotRunError: the site has none; says where to name them.
    """
    if weights is None:
        raise NotRunError(f"no site names its weights: set path under [measures.{measure}] in a site")
    return weights


def load(kind: str, weights: Weights) -> Any:
    """A network of `transformers`, on its device and ready to infer.

    Args:
        kind: the class of `transformers` that loads it, such as `AutoModelForCTC`.
        weights: a folder, or a repository of the Hub.

    Raises:
        NotRunError: the extra is not installed.
        ConfigError: there is no such network, it does not fit, or a layer of it was never trained.
    """
    torch, transformers = needed("torch", "transformers"), needed("transformers", "transformers")
    # In half precision a CPU is slow, and lacks some operations.
    dtype = torch.float32 if weights.device == "cpu" else "auto"
    try:
        network, found = getattr(transformers, kind).from_pretrained(
            weights.path, dtype=dtype, output_loading_info=True
        )
        network = network.to(weights.device).eval()
    except LOADING as error:
        raise unusable(weights, kind, error) from None
    if untrained := sorted(found["missing_keys"]):
        raise ConfigError(
            f"{weights.path!r} holds no weights for {untrained[0]!r}, so that it would answer at random: "
            f"name a model that was trained as an {kind}"
        )
    return network


LOADING = Exception
"""What loading raises: the error of safetensors at a damaged file is of no narrower kind."""


def unusable(weights: Weights, kind: str, error: Exception) -> ConfigError:
    """What to say of weights that raised an error when they were loaded as `kind`."""
    return ConfigError(
        f"{weights.path!r} cannot be loaded as {kind} on {weights.device!r}: {first_line(error)}: "
        f"name other weights, or another device"
    )


def waveform(clip: Spoken, sampling_rate_hz: int) -> NDArray[np.float32]:
    """The clip at another rate, full scale at -1 and 1; silence makes half a second of a shorter one, which networks need."""
    sound = soxr.resample(clip.samples.astype(np.float32) / 32768, clip.sampling_rate_hz, sampling_rate_hz)
    lacking = max(0, round(_SHORTEST_S * sampling_rate_hz) - len(sound))
    return np.pad(np.asarray(sound, np.float32), (0, lacking))
