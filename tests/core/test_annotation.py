import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.annotation import Annotation, latest
from builder.errors import ConfigError
from builder.records import convert, encode

ID = "llama3-8B/travel_1_3"


def annotation(annotator="ash", score=4, id=ID, **fields):
    return Annotation(id=id, annotator=annotator, scores={"coherence": score}, **fields)


def test_an_annotation_is_read_as_it_was_written():
    one = annotation(emotions=("happy", None, "sad"), seconds=12.5, reason="turn 3 forgets turn 1")
    assert convert(json.loads(encode(one)), Annotation, "annotations") == one


@pytest.mark.parametrize("score", [0, 6, 2.5, "4"])
def test_a_score_off_the_scale_is_refused(score):
    with pytest.raises(ConfigError, match=r"key 'scores.coherence' is "):
        convert({"id": ID, "annotator": "ash", "scores": {"coherence": score}}, Annotation, "annotations")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"annotator": " ", "scores": {"coherence": 4}}, "names no annotator"),
        ({}, "is empty: give a score or an emotion"),
        ({"emotions": (None, None, None)}, "is empty: give a score or an emotion"),
        ({"emotions": ("happy", "sad")}, "has emotions for 2 turns of 3"),
        ({"id": "travel_1_3", "scores": {"coherence": 4}}, "is not <pairing>/<domain>"),
    ],
)
def test_what_says_nothing_or_contradicts_its_dialogue_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Annotation(**{"id": ID, "annotator": "ash"} | fields)


def test_heard_emotions_alone_are_an_annotation():
    assert Annotation(id=ID, annotator="ash", emotions=(None, "sad", None)).scores == {}


def test_an_annotator_who_annotates_again_replaces_the_first_opinion_whole():
    first = Annotation(id=ID, annotator="ash", scores={"coherence": 1, "safety": 5})
    other, again = annotation("birch", 2), annotation("ash", 5)
    assert sorted(latest([first, other, again]), key=lambda one: one.annotator) == [again, other]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 3), st.integers(1, 5))))
def test_every_annotator_has_one_opinion_of_a_dialogue_the_last(given_scores):
    annotations = [annotation(who, score, f"p/travel_{index}_3") for who, index, score in given_scores]
    kept = latest(annotations)
    assert {(one.annotator, one.id): one for one in annotations} == {
        (one.annotator, one.id): one for one in kept
    }
    assert len(kept) == len({(who, index) for who, index, _ in given_scores})
