import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.plugins.tts.orpheus.tokens import (
    AUDIO,
    END,
    HEAD,
    TAIL,
    TOKENS_PER_S,
    VOCABULARY,
    Generation,
    fault,
    parse,
    prompt,
    repeated,
)
from tests.servers.orpheus import draw, tokens
from tests.tiny_orpheus import make_tokenizer

CLIPS = st.lists(
    st.lists(st.sampled_from([0, 1, 4095]) | st.integers(0, 4095), min_size=7, max_size=7),
    min_size=1,
    max_size=30,
).map(np.array)
"""Codes of whole clips, with the lowest, which upstream's decoder drops, and the highest more often than by chance."""


def noise(frames, key=0):
    return draw(frames, key).integers(0, 4096, (frames, 7))


def judged(made, *, ended=True):
    return fault(Generation(made, ended), parse(made))


def test_the_prompt_is_the_sequence_that_the_checkpoint_was_trained_on(tmp_path):
    pytest.importorskip("tokenizers", reason="the extra 'orpheus' is not installed")
    tokenizer = make_tokenizer(tmp_path)
    words = tokenizer("zoe: <laugh> Well, hello.")["input_ids"]
    asked = tokenizer(prompt("Well, hello.", "zoe", "<laugh>"), add_special_tokens=False)["input_ids"]
    assert asked == [128259, *words, 128009, 128260, 128261, 128257]
    assert words[0] == 128000
    assert (asked[:2], asked[-4:]) == (HEAD, TAIL)


def test_a_line_without_a_tag_is_asked_for_as_it_stands():
    assert ">dan: Well, hello.<" in prompt("Well, hello.", "dan")


def test_a_frame_is_seven_tokens_and_2048_samples_at_24_khz():
    assert round(TOKENS_PER_S, 2) == 82.03
    assert VOCABULARY == 156938


@given(CLIPS)
def test_every_frame_comes_back_the_first_and_the_last_as_well(codes):
    speech = parse([*tokens(codes), END])
    assert np.array_equal(speech.codes, codes)
    assert speech.stray == 0


@given(CLIPS, st.data())
def test_one_token_lost_anywhere_costs_its_frame_and_no_other(codes, data):
    whole = tokens(codes)
    place = data.draw(st.integers(0, len(whole) - 1))
    speech = parse([*whole[:place], *whole[place + 1 :], END])
    assert np.array_equal(speech.codes, np.delete(codes, place // 7, 0))
    assert speech.stray == 6


@given(CLIPS, st.sampled_from([0, 128000, 128257, 128265, 156938, 156939]), st.data())
def test_a_token_that_is_no_code_costs_no_frame(codes, junk, data):
    whole = tokens(codes)
    place = data.draw(st.integers(0, len(whole)))
    speech = parse([*whole[:place], junk, *whole[place:], END])
    assert np.array_equal(speech.codes, codes)
    assert speech.stray == 1


@given(CLIPS, st.integers(0, 6), st.data())
def test_a_code_too_many_costs_one_frame_at_most(codes, slot, data):
    whole = tokens(codes)
    place = data.draw(st.integers(0, len(whole)))
    speech = parse([*whole[:place], AUDIO + 4096 * slot, *whole[place:], END])
    if place % 7 == 0:
        assert np.array_equal(speech.codes, codes)
    else:
        struck = place // 7
        whole_frames = len(speech.codes) == len(codes)
        others = np.delete(speech.codes, struck, 0) if whole_frames else speech.codes
        assert np.array_equal(others, np.delete(codes, struck, 0))
    assert 7 * len(speech.codes) + speech.stray == len(whole) + 1


@given(st.lists(st.integers(-(2**31), 2**31) | st.integers(AUDIO - 10, VOCABULARY + 10) | st.just(END)))
def test_no_sequence_of_tokens_is_an_error_and_every_token_is_accounted_for(made):
    speech = parse(made)
    before = made[: made.index(END)] if END in made else made
    assert speech.codes.shape == (len(speech.codes), 7)
    assert 7 * len(speech.codes) + speech.stray == len(before)
    assert ((speech.codes >= 0) & (speech.codes < 4096)).all()
    judged(made)


def test_what_follows_the_end_of_speech_is_not_heard():
    codes = noise(9)
    assert np.array_equal(parse([*tokens(codes), END, *tokens(noise(3))]).codes, codes)


def test_speech_that_ends_by_itself_is_fit():
    assert judged([*tokens(noise(100)), END]) is None
    assert judged(tokens(noise(100))) is None, "vLLM may keep the token that it stopped at to itself"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([], "no audio in 0 tokens"),
        ([END], "no audio in 1 tokens"),
        ([5, 6, 128009], "no audio in 3 tokens"),
        (tokens(noise(4))[1:7], "no audio in 6 tokens"),
        ([*tokens(np.repeat(noise(1), 40, 0)), END], "a loop of 39 frames"),
        ([*tokens(np.tile(noise(15), (3, 1))), END], "a loop of 30 frames"),
        ([token for token in tokens(noise(60)) if token % 13], "out of place"),
    ],
)
def test_what_is_no_speech_is_said_with_its_measure(made, said):
    assert said in judged(made)


def test_what_does_not_end_is_told_from_what_does():
    assert judged(tokens(noise(36)), ended=False) == "no end of speech within 252 tokens"


def test_a_lost_token_is_forgiven_however_short_the_clip():
    assert judged([*tokens(noise(2))[1:], END]) is None


def test_a_pause_is_no_loop():
    codes = noise(90)
    codes[40:63] = codes[40]
    assert repeated(codes) == 22
    assert judged([*tokens(codes), END]) is None


@given(st.integers(1, 30), st.integers(2, 4), st.integers(0, 20))
def test_a_phrase_said_again_is_as_long_as_what_is_said_again(frames, times, before):
    loop = np.concatenate([noise(before, "before"), np.tile(noise(frames), (times, 1)), noise(5, "after")])
    assert repeated(loop) >= frames * (times - 1)
    assert repeated(noise(before + 1)) <= 2
