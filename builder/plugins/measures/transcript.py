"""Transcript: how much of its text a recogniser finds in a clip.

Law of the file: text and transcript are normalised alike, so that spelling, case and punctuation are no errors.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from builder.plugins.measures import Gauge, Measure, Spoken, Weights
from builder.plugins.measures._model import LOADING, load, needed, required, unusable, waveform


class Transcript(Measure):
    """A round trip through speech recognition: a Whisper, or any CTC model that `transformers` loads."""

    language: str = "en"
    """As Whisper names it; English is normalised the way Whisper is evaluated, numbers and contractions included."""

    @contextmanager
    def open(self, weights: Weights | None) -> Iterator[Gauge]:
        """Loads the recogniser; raises as the contract says."""
        weights = required(weights, "transcript")
        jiwer, transformers = needed("jiwer", "speech"), needed("transformers", "transformers")
        normalisers = needed("transformers.models.whisper.english_normalizer", "transformers")
        try:
            whispers = transformers.AutoConfig.from_pretrained(weights.path).model_type == "whisper"
            extractor = transformers.AutoFeatureExtractor.from_pretrained(weights.path)
            tokenizer = transformers.AutoTokenizer.from_pretrained(weights.path)
        except LOADING as error:
            raise unusable(weights, "a recogniser", error) from None
        network = load("AutoModelForSpeechSeq2Seq" if whispers else "AutoModelForCTC", weights)
        english = self.language == "en"
        normaliser = normalisers.EnglishTextNormalizer({}) if english else normalisers.BasicTextNormalizer()
        recogniser = _Whisper if whispers else _Ctc
        yield _Transcript(recogniser(network, extractor, tokenizer, self.language), normaliser, jiwer)


@dataclass
class _Transcript:
    recogniser: "_Whisper | _Ctc"
    normaliser: Any
    jiwer: Any

    def measure(self, clips: Sequence[Spoken]) -> list[Mapping[str, float]]:
        """Compares each transcript with its text.

        Returns:
            `wer` and `cer`: the word and the character error rate, 0 at best, above 1 where more was heard than said. Nothing of
            a text without words.
        """
        heard = self.recogniser.transcribe(clips)
        return [self._errors(clip.text, text) for clip, text in zip(clips, heard, strict=True)]

    def _errors(self, text: str, heard: str) -> Mapping[str, float]:
        # Whisper's normaliser takes an ellipsis for a decimal point.
        said, heard = (self.normaliser(words.replace("…", " ")).strip() for words in (text, heard))
        if not any(map(str.isalnum, said)):
            return {}
        return {"wer": float(self.jiwer.wer(said, heard)), "cer": float(self.jiwer.cer(said, heard))}


@dataclass
class _Recogniser:
    network: Any
    extractor: Any
    tokenizer: Any
    language: str

    def features(self, clips: Sequence[Spoken], **how: Any) -> Any:
        rate = self.extractor.sampling_rate
        waves = [waveform(clip, rate) for clip in clips]
        features = self.extractor(waves, sampling_rate=rate, return_tensors="pt", **how)
        return features.to(self.network.device, self.network.dtype)

    def texts(self, ids: Any) -> list[str]:
        return [self.tokenizer.decode(row, skip_special_tokens=True) for row in ids]


class _Whisper(_Recogniser):
    """Hears windows of 30 s, so that clips may share a batch: all are as long."""

    def transcribe(self, clips: Sequence[Spoken]) -> list[str]:
        seconds = max(len(clip.samples) / clip.sampling_rate_hz for clip in clips)
        how: dict[str, Any] = {"return_attention_mask": True}
        then: dict[str, Any] = {}
        if seconds > self.extractor.chunk_length:
            how |= {"truncation": False, "padding": "longest"}
            then |= {"return_timestamps": True}
        if getattr(self.network.generation_config, "is_multilingual", False):
            then |= {"language": self.language, "task": "transcribe"}
        return self.texts(self.network.generate(**self.features(clips, **how), **then))


class _Ctc(_Recogniser):
    """Hears clips one by one: what pads a shorter one would change what some models hear."""

    def transcribe(self, clips: Sequence[Spoken]) -> list[str]:
        torch = needed("torch", "transformers")
        with torch.inference_mode():
            logits = [self.network(**self.features([clip])).logits[0] for clip in clips]
        return self.texts([frame.argmax(-1) for frame in logits])
