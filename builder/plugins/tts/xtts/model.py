"""XTTS-v2 as it lies in a folder: the library's own modules with the folder's weights, and text as its tokens.

The library, coqui-tts, also knows how to download the model; none of that is called. Its `load_checkpoint` writes the file anew
where it finds an old one, so the weights are read here, by PyTorch's reader of plain data: no code out of a checkpoint ever runs.
Law of the file: what stands in the folder is read and never written, and a fault names the file and the repair.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.errors import ConfigError, SynthesisError, extra, nearest

_FILES = ("config.json", "vocab.json", "model.pth")
_SOURCE = (
    "fetch it from https://huggingface.co/coqui/XTTS-v2, whose licence, the CPML, "
    "allows non-commercial use only"
)

_MOST_CHARACTERS = 220
"""Beyond it speech tends to break off; of some languages the library asks for less."""

# What a checkpoint may hold beside the model: the trainer's own modules, and second names of the same weights.
_IDLE = ("torch_mel_spectrogram_style_encoder.", "torch_mel_spectrogram_dvae.", "dvae.")
_SECOND_NAMES = ("gpt.gpt_inference.", "gpt.gpt.wte.")


@dataclass(frozen=True, eq=False)
class Model:
    """XTTS-v2, loaded."""

    xtts: Any
    """`TTS.tts.models.xtts.Xtts`, on the CPU in float32."""
    language: str
    digest: str
    """Of the three files, in hexadecimal."""
    version: str
    """Of coqui-tts."""

    @property
    def limit(self) -> int:
        """The most characters of a piece of text."""
        limits: dict[str, int] = self.xtts.tokenizer.char_limits
        return min(_MOST_CHARACTERS, limits.get(self.language.split("-")[0], _MOST_CHARACTERS))

    @property
    def sampling_rate_hz(self) -> int:
        """Of what it speaks."""
        return int(self.xtts.args.output_sample_rate)

    def tokens(self, text: str) -> list[int]:
        """A piece of text as tokens, in the way of the library's `Xtts.inference`.

        Raises:
            SynthesisError: the vocabulary has no letter and no digit of it, or it is more than the model reads at once.
        """
        tokenizer, most = self.xtts.tokenizer, self.xtts.args.gpt_max_text_tokens - 1
        try:
            tokens: list[int] = tokenizer.encode(text.strip().lower(), lang=self.language)
        except Exception as error:  # noqa: BLE001 - it spells numbers and dates out by rules that do not hold for all
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
            raise SynthesisError(f"XTTS cannot read {text!r} ({reason}): change the text") from None
        mark = tokenizer.encode("", lang=self.language)
        if not any(map(str.isalnum, tokenizer.decode(tokens[len(mark) :]))):
            raise SynthesisError(f"XTTS finds nothing to say in {text!r}: change the text")
        if len(tokens) > most:
            raise SynthesisError(f"XTTS reads {most} tokens, {text!r} has {len(tokens)}: shorten the text")
        return tokens


def check(folder: Path) -> None:
    """Makes sure that the model's files are there.

    Raises:
        ConfigError: one is missing.
    """
    for name in _FILES:
        if not (folder / name).is_file():
            raise ConfigError(f"{folder}: has no {name}, which is part of XTTS-v2: {_SOURCE}")


def load(folder: Path, language: str) -> Model:
    """Reads a folder with XTTS-v2's `config.json`, `model.pth` and `vocab.json`.

    Args:
        folder: where they lie.
        language: one of the model's languages, such as `en`.

    Raises:
        ConfigError: the extra is missing, a file is missing or damaged, or the model does not speak the language.
    """
    check(folder)
    library = extra("TTS.tts.models.xtts", "xtts")
    config = library.XttsConfig()
    with _reading(folder / "config.json"):
        config.load_json(folder / "config.json")
        if config.model != "xtts":
            raise ValueError(f"its model is {config.model!r}")
        xtts = library.Xtts(config)
    with _reading(folder / "vocab.json"):
        xtts.tokenizer = library.VoiceBpeTokenizer(vocab_file=folder / "vocab.json")
    if language not in config.languages:
        raise ConfigError(
            f"{folder}: does not speak language {language!r}: {nearest(language, config.languages)}"
        )
    try:
        xtts.tokenizer.encode("", lang=language)
    except ImportError as error:
        raise ConfigError(f"XTTS cannot read language {language!r}: {error}: install it") from None
    with _reading(folder / "model.pth"):
        xtts.init_models()
        xtts.load_state_dict(_weights(folder / "model.pth", library))
    xtts.gpt.eval()
    xtts.hifigan_decoder.eval()
    return Model(xtts, language, _digest(folder), extra("TTS", "xtts").__version__)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the library has no error of its own for a file it cannot use
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(f"{path}: not XTTS-v2's ({reason}): {_SOURCE}") from None


def _weights(path: Path, library: Any) -> dict[str, Any]:
    """The model's weights by name; the records of settings that old checkpoints hold are plain data."""
    torch = extra("torch", "xtts")
    records = [library.XttsConfig, library.XttsArgs, library.XttsAudioConfig, library.BaseDatasetConfig]
    moved = [(record, f"{library.__name__}.{record.__name__}") for record in records[1:3]]
    with torch.serialization.safe_globals([*records, *moved]):
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    named = {name.removeprefix("xtts."): weight for name, weight in checkpoint["model"].items()}
    return {name: weight for name, weight in named.items() if not name.startswith((*_IDLE, *_SECOND_NAMES))}


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for name in _FILES:
        with (folder / name).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
