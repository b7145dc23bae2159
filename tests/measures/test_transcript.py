"""A transcript is compared with the text as people would compare them; what recognises is the network, as it is."""

import pytest

from builder.plugins.measures import Spoken, Weights
from builder.plugins.measures.transcript import Transcript
from tests.measures.conftest import LETTERS, clip, voice

pytest.importorskip("jiwer", reason="the extra 'speech' is not installed")


def heard(path, clips, **settings):
    """What it hears, and the errors where the texts are exactly that."""
    with Transcript(**settings).open(Weights(path=str(path))) as gauge:
        return gauge.recogniser.transcribe(clips), gauge


def saying(clips, texts):
    return [
        Spoken(one.samples, one.sampling_rate_hz, text, one.voice)
        for one, text in zip(clips, texts, strict=True)
    ]


@pytest.fixture
def by_hand(torch):
    """What a CTC network says, without our code: the likeliest letter of every frame, repetitions and blanks taken away."""

    def transcribe(path, one):
        import soxr
        from transformers import Wav2Vec2ForCTC

        network = Wav2Vec2ForCTC.from_pretrained(path).eval()
        sound = soxr.resample(one.samples / 32768, one.sampling_rate_hz, 16_000)
        sound = (sound - sound.mean()) / (sound.var() + 1e-7) ** 0.5
        with torch.no_grad():
            tokens = network(torch.tensor(sound[None], dtype=torch.float32)).logits[0].argmax(-1).tolist()
        kept = [token for token, before in zip(tokens, [None, *tokens], strict=False) if token != before]
        return "".join(("", "", "", "", " ", *LETTERS)[token] for token in kept).strip()

    return transcribe


def test_a_ctc_network_is_heard_as_it_speaks(ctc, clips, by_hand):
    texts, _ = heard(ctc, clips)
    assert texts == [by_hand(ctc, one) for one in clips]
    assert len(set(texts)) == len(texts), "or the test would be blind"


def test_what_a_clip_is_heard_as_does_not_depend_on_its_neighbours(ctc, whisper, clips):
    for path in (ctc, whisper):
        together, gauge = heard(path, clips)
        assert together == [gauge.recogniser.transcribe([one])[0] for one in clips]


def test_a_text_that_is_heard_has_no_errors_whatever_its_case_and_punctuation(ctc, clips):
    texts, gauge = heard(ctc, clips)
    for written in (texts, [f"“{text.upper()}!”" for text in texts]):
        assert gauge.measure(saying(clips, written)) == [{"wer": 0.0, "cer": 0.0}] * len(clips)


def test_every_word_too_many_or_too_few_is_an_error_for_each_that_was_written(ctc, clips):
    texts, gauge = heard(ctc, clips)
    (found,) = gauge.measure(saying(clips[:1], [f"{texts[0]} never heard"]))
    said = len(texts[0].split())
    assert found["wer"] == pytest.approx(2 / (said + 2))
    assert 0 < found["cer"] < 1
    (found,) = gauge.measure(saying(clips[:1], ["zzz"]))
    assert found["wer"] == pytest.approx(max(said, 1))
    assert found["cer"] > 1


def test_numbers_and_contractions_are_the_same_in_words(ctc, clips):
    _, gauge = heard(ctc, clips)
    assert gauge._errors("Mr. Holt won't pay $20.", "mister holt will not pay 20 dollars")["wer"] == 0
    assert gauge._errors("Well… I... see", "well i see")["wer"] == 0
    assert gauge._errors("It's 3 o'clock", "it is three o'clock")["wer"] == 0


def test_another_language_is_compared_without_what_only_english_has(ctc, clips):
    _, gauge = heard(ctc, clips, language="de")
    assert gauge._errors("Grüß Gott, «Anna»!", "grüß gott anna") == {"wer": 0.0, "cer": 0.0}
    assert gauge._errors("He won't", "he will not")["wer"] > 0


@pytest.mark.parametrize("text", ["", "…", "?!"])
def test_a_text_without_words_has_no_error_rate(ctc, clips, text):
    _, gauge = heard(ctc, clips)
    assert gauge.measure(saying(clips[:1], [text])) == [{}]


def test_a_whisper_hears_clips_longer_than_its_window_to_the_end(whisper, clips):
    """Its window is 2 s here."""
    with_end, without = voice(100, 5.3), voice(100, 5.3)
    without[4 * 24_000 :] = 0
    _, gauge = heard(whisper, clips)
    windows = []
    gauge.recogniser.network.model.encoder.conv1.register_forward_pre_hook(
        lambda _, given: windows.append(given[0].clone())
    )

    def last_window(sound):
        windows.clear()
        assert len(gauge.recogniser.transcribe([clip(sound)])) == 1
        assert {window.shape[-1] for window in windows} == {200}
        return windows[-1]

    assert not last_window(with_end).equal(last_window(without)), "what follows the fourth second is heard"


def test_short_and_long_clips_are_heard_together(whisper, clips):
    _, gauge = heard(whisper, clips)
    assert len(gauge.measure([clips[0], clip(voice(100, 2.6)), clips[1]])) == 3


def test_the_language_of_a_whisper_is_said_and_not_guessed(whisper, clips, monkeypatch):
    for language in ("en", "de"):
        _, gauge = heard(whisper, clips, language=language)
        decoder, first = gauge.recogniser.network.model.decoder, []
        tokens = gauge.recogniser.tokenizer
        hook = decoder.register_forward_pre_hook(
            lambda _module, _args, given, first=first: first.append(given["input_ids"]), with_kwargs=True
        )
        gauge.recogniser.transcribe(clips[:1])
        hook.remove()
        begin = tokens.convert_ids_to_tokens(first[0][0].tolist())
        assert begin == ["<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>", "<|notimestamps|>"]
