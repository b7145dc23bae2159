from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.draw import Draw
from builder.core.emotion import RAVDESS, Emotion, EmotionGraph, Transitions, walk
from builder.errors import ConfigError
from builder.records import convert

TRIANGLE = EmotionGraph({"calm": ("glad", "sad"), "glad": ("calm", "sad"), "sad": ("calm", "glad")})


@st.composite
def graphs(draw):
    names = "abcdefgh"[: draw(st.integers(min_value=2, max_value=8))]
    return EmotionGraph(
        {
            name: tuple(draw(st.sets(st.sampled_from(sorted(set(names) - {name})), min_size=1)))
            for name in names
        }
    )


def names_of(graph):
    return sorted({emotion for emotion, _ in graph.edges()})


@pytest.mark.parametrize(
    ("successors", "message"),
    [
        ({"sad": ()}, "emotion 'sad' has no successor"),
        ({"sad": ("glad", "sad"), "glad": ("sad",)}, "emotion 'sad' follows itself"),
        (
            {"sad": ("gald",), "glad": ("sad",)},
            "emotion 'sad' leads to unknown emotion 'gald': did you mean 'glad'?",
        ),
    ],
)
def test_an_unsound_graph_is_refused_by_name(successors, message):
    with pytest.raises(ValueError, match="emotion 'sad'") as refusal:
        EmotionGraph(successors)
    assert message in str(refusal.value)


def test_successors_are_a_set_whatever_their_order_or_repetition():
    graph = EmotionGraph({"calm": ("sad", "glad", "sad"), "glad": ("calm",), "sad": ("calm",)})
    assert graph["calm"] == ("glad", "sad")
    assert "calm" in graph
    assert "bored" not in graph


def test_the_papers_graph_has_105_edges_and_no_way_into_two_emotions(vocabulary):
    graph = vocabulary.graph()
    assert len(graph.edges()) == 105
    assert graph.without_entry() == ("bored", "embarrassed")


def test_opening_the_papers_graph_adds_the_ways_back_and_nothing_else(vocabulary):
    graph = vocabulary.graph()
    back = {(other, entry) for entry in ("bored", "embarrassed") for other in graph[entry]}
    assert graph.opened().edges() == graph.edges() | back
    assert len(back) == 9


@given(graphs())
def test_every_emotion_of_an_opened_graph_can_be_entered(graph):
    opened = graph.opened()
    assert opened.without_entry() == ()
    assert opened.edges() >= graph.edges()
    if not graph.without_entry():
        assert opened.edges() == graph.edges()


@given(
    graphs(),
    st.data(),
    st.integers(min_value=1, max_value=30),
    st.floats(min_value=0, max_value=1),
    st.integers(min_value=0),
)
def test_a_walk_starts_in_the_domain_and_uses_edges_only(graph, data, length, in_domain, seed):
    favoured = tuple(data.draw(st.sets(st.sampled_from(names_of(graph)), min_size=1)))
    emotions = walk(graph, favoured, length, in_domain, Draw(seed))
    assert len(emotions) == length
    assert emotions[0] in favoured
    assert set(pairwise(emotions)) <= graph.edges()
    assert all(emotion != after for emotion, after in pairwise(emotions))


@given(graphs(), st.data(), st.integers(min_value=0))
def test_a_walk_kept_in_the_domain_leaves_it_only_where_it_must(graph, data, seed):
    favoured = tuple(data.draw(st.sets(st.sampled_from(names_of(graph)), min_size=1)))
    emotions = walk(graph, favoured, 20, 1.0, Draw(seed))
    for emotion, after in pairwise(emotions):
        assert after in favoured or not set(graph[emotion]) & set(favoured)


def test_the_order_in_which_a_domain_lists_its_emotions_does_not_matter():
    walks = {walk(TRIANGLE, favoured, 10, 0.8, Draw(7)) for favoured in (("glad", "sad"), ("sad", "glad"))}
    assert len(walks) == 1


@pytest.mark.parametrize(("in_domain", "share"), [(0.0, 0.5), (0.8, 0.9), (1.0, 1.0)])
def test_the_domains_share_is_its_probability_and_its_part_of_the_rest(in_domain, share):
    """From `calm` one successor of two is favoured: it has `in_domain`, and half of what is left."""
    seconds = Counter(walk(TRIANGLE, ("calm", "glad"), 2, in_domain, Draw(seed)) for seed in range(8000))
    after_calm = {emotions[1]: count for emotions, count in seconds.items() if emotions[0] == "calm"}
    total = sum(after_calm.values())
    # Four standard deviations: exceeded with p = 0.00006.
    assert abs(after_calm["glad"] - share * total) <= 4 * (share * (1 - share) * total) ** 0.5


@pytest.mark.parametrize("axis", ["valence", "arousal"])
@pytest.mark.parametrize("value", [-1.01, 1.5])
def test_an_emotion_outside_the_circumplex_is_refused(axis, value):
    emotion = {"ravdess": "sad", "valence": 0.0, "arousal": 0.0, "successors": ["glad"], axis: value}
    with pytest.raises(ConfigError, match=f"key '{axis}' is {value}"):
        convert(emotion, Emotion, "vocabulary.toml")


def test_a_class_that_ravdess_lacks_is_refused():
    emotion = {"ravdess": "joy", "valence": 0.0, "arousal": 0.0, "successors": ["glad"]}
    with pytest.raises(ConfigError, match="key 'ravdess' is 'joy'"):
        convert(emotion, Emotion, "vocabulary.toml")


def test_the_classes_stand_in_the_order_of_their_ravdess_codes():
    assert dict(enumerate(RAVDESS, start=1)) == {
        1: "neutral", 2: "calm", 3: "happy", 4: "sad", 5: "angry", 6: "fearful", 7: "disgust", 8: "surprised",
    }  # fmt: skip


@pytest.mark.parametrize("table", [{"rule": "random"}, {"in_domain": 1.2}, {"in_domain": -0.1}])
def test_a_rule_of_moving_that_cannot_be_kept_is_refused(table):
    with pytest.raises(ConfigError, match=next(iter(table))):
        convert(table, Transitions, "study.toml")
