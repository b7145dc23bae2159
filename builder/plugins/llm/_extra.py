"""What a site adds to the requests of one backend: `extra = { reasoning_effort = "low" }`.

Law of the file: it goes along as it is, and says nothing that the run or the study says.
"""

from collections.abc import Mapping
from typing import Any

from builder.remote import Remote

_RUNS = frozenset(
    {
        "best_of",
        "details",
        "do_sample",
        "grammar",
        "inputs",
        "messages",
        "model",
        "n",
        "prompt",
        "response_format",
        "seed",
        "stream",
        "stream_options",
    }
)
_STUDYS = frozenset({"max_completion_tokens", "max_new_tokens", "max_tokens", "temperature", "top_p"})


def check(extra: Mapping[str, Any]) -> None:
    """Makes sure that nothing is said twice.

    Raises:
        ValueError: names the key that the run or the study says.
    """
    for key in extra:
        if key in _RUNS:
            raise ValueError(f"extra.{key} is what the run itself says: leave it out")
        if key in _STUDYS:
            raise ValueError(f"extra.{key} is what the study's decoding says: leave it out")


class Served(Remote):
    """The settings of a model behind a server of any protocol."""

    extra: dict[str, Any] = {}
    """Goes into every request as it is: sampling that the study has no word for, or what a reasoning model is told."""

    def __post_init__(self) -> None:
        check(self.extra)
