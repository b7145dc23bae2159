import itertools
import json
import math
from pathlib import Path

import msgspec
import pytest

from builder.core.vocabulary import Model, Vocabulary
from builder.errors import ConfigError
from builder.records import convert

FACTS = Path(__file__).parents[3] / "shared/paper/facts.json"


def small():
    return {
        "emotions": {
            "happy": {"ravdess": "happy", "valence": 0.8, "arousal": 0.2, "successors": ["sad"]},
            "sad": {"ravdess": "sad", "valence": -0.7, "arousal": -0.4, "successors": ["happy"]},
        },
        "domains": {"travel": {"topics": "places to go", "emotions": ["happy"]}},
        "models": {"small-1B": {"hub_id": "org/small", "billion_parameters": 1}},
        "pairings": {"small-1B": {"first": "small-1B", "second": "small-1B"}},
    }


def change(table, path, value):
    *parents, last = path
    for key in parents:
        table = table[key]
    table[last] = value


def test_a_small_vocabulary_reads_as_written():
    vocabulary = convert(small(), Vocabulary, "vocabulary.toml")
    assert vocabulary.graph().edges() == {("happy", "sad"), ("sad", "happy")}
    assert vocabulary.models["small-1B"].revision is None
    assert vocabulary.models["small-1B"].system_role
    assert vocabulary.ravdess() == {"happy": "happy", "sad": "sad"}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("emotions", "sad", "successors"),
            ["hapy"],
            "leads to unknown emotion 'hapy': did you mean 'happy'?",
        ),
        (("emotions", "sad", "successors"), ["sad"], "emotion 'sad' follows itself"),
        (("domains", "travel", "emotions"), [], "domain 'travel' lists no emotion"),
        (("domains", "travel", "emotions"), ["hapy"], "lists unknown emotion 'hapy': did you mean 'happy'?"),
        (
            ("domains", "social media"),
            {"topics": "posts", "emotions": ["sad"]},
            "domain 'social media' is not a name",
        ),
        (("domains", "../etc"), {"topics": "files", "emotions": ["sad"]}, "domain '../etc' is not a name"),
        (("pairings", "small-1B", "second"), "smal-1B", "unknown model 'smal-1B': did you mean 'small-1B'?"),
        (("pairings", "a/b"), {"first": "small-1B", "second": "small-1B"}, "pairing 'a/b' is not a name"),
        (("models", "small-1B", "size"), 1, "unknown key 'models.small-1B.size'"),
    ],
)
def test_what_refers_to_nothing_or_bears_no_name_is_refused(path, value, message):
    table = small()
    change(table, path, value)
    with pytest.raises(ConfigError) as refusal:
        convert(table, Vocabulary, "vocabulary.toml")
    assert str(refusal.value).startswith("vocabulary.toml: ")
    assert message in str(refusal.value)


def test_the_papers_vocabulary_has_its_published_size(vocabulary):
    assert len(vocabulary.emotions) == 20
    assert len(vocabulary.domains) == 41
    assert len(vocabulary.models) == 9
    assert len(vocabulary.pairings) == 16


def test_the_papers_vocabulary_is_the_papers(vocabulary):
    if not FACTS.exists():
        pytest.skip("the re-entered facts of the paper are not beside this checkout")
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    assert {name: list(emotion.successors) for name, emotion in vocabulary.emotions.items()} == facts[
        "emotion_graph"
    ]
    assert {name: list(domain.emotions) for name, domain in vocabulary.domains.items()} == {
        name: domain["emotions"] for name, domain in facts["domains"].items()
    }
    assert {name: (model.hub_id, model.billion_parameters) for name, model in vocabulary.models.items()} == {
        name: (model["hub_id"], model["billion_parameters"]) for name, model in facts["models"].items()
    }
    assert [(name, pairing.first, pairing.second) for name, pairing in vocabulary.pairings.items()] == [
        (pairing["name"], pairing["first"], pairing["second"]) for pairing in facts["pairings"]
    ]
    published = {name: known for name, known in facts["ravdess_class_of_emotion"].items() if known}
    assert {name: vocabulary.emotions[name].ravdess for name in published} == published


def test_emotions_that_were_never_published_have_a_class_too(vocabulary):
    assert vocabulary.emotions["bored"].ravdess == "neutral"
    assert vocabulary.emotions["embarrassed"].ravdess == "fearful"


def test_every_emotion_has_a_place_of_its_own_inside_the_circumplex(vocabulary):
    places = [(emotion.valence, emotion.arousal) for emotion in vocabulary.emotions.values()]
    assert max(math.hypot(*place) for place in places) <= 1
    assert min(math.dist(one, other) for one, other in itertools.combinations(places, 2)) > 0.15


def test_a_pairing_is_named_after_its_models_once_if_they_are_the_same(vocabulary):
    for name, pairing in vocabulary.pairings.items():
        assert name == "_".join(dict.fromkeys((pairing.first, pairing.second)))


def test_every_topic_reads_on_after_a_colon(vocabulary):
    topics = [domain.topics for domain in vocabulary.domains.values()]
    assert len(set(topics)) == len(topics)
    assert all(topic == topic.strip() and topic[-1].isalpha() and "{" not in topic for topic in topics)


def test_a_model_is_asked_for_by_its_repository_and_where_one_is_pinned_its_revision():
    model = Model(hub_id="org/x", billion_parameters=1)
    assert model.checkpoint == "org/x"
    assert msgspec.structs.replace(model, revision="abc1234").checkpoint == "org/x@abc1234"
