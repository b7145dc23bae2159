import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.checkpoint import alike, answered, differs, groups, joined, named, several

LLAMA, SHA = "meta-llama/Llama-3.1-8B-Instruct", "0e9e39f249a16976918f6564b8830bc894c89659"


@pytest.mark.parametrize(
    "served",
    [LLAMA, LLAMA.lower(), f"{LLAMA}@{SHA}", f"{LLAMA}@{SHA[:7]}", f"{LLAMA}@{SHA.upper()}"],
)
def test_case_and_a_revision_that_is_not_told_or_told_in_short_make_no_difference(served):
    assert not differs(LLAMA, served)
    assert not differs(f"{LLAMA}@{SHA}", served)


@pytest.mark.parametrize(
    "served",
    [
        "my-llama",
        "rehearsal",
        "/repository",
        f"/models/{LLAMA}",
        f"{LLAMA}-AWQ",
        f"bartowski/{LLAMA.partition('/')[2]}-GGUF",
        "/loras/mine",
        f"{LLAMA} via together",
        f"{LLAMA}, my-llama",
        "",
    ],
)
def test_any_other_name_is_a_difference(served):
    assert differs(LLAMA, served)


@pytest.mark.parametrize("served", ["abc1234", SHA[:6], SHA[:-1] + "0", "main"])
def test_another_revision_is_a_difference(served):
    assert differs(f"{LLAMA}@{SHA}", f"{LLAMA}@{served}")


@pytest.mark.parametrize(
    ("name", "checkpoint"),
    [
        (f"/hub/models--meta-llama--Llama-3.1-8B-Instruct/snapshots/{SHA}", f"{LLAMA}@{SHA}"),
        ("models--meta-llama--Llama-3.1-8B-Instruct/", LLAMA),
        ("/models/llama", "/models/llama"),
        ("llama3.1:8b", "llama3.1:8b"),
    ],
)
def test_the_path_of_a_cached_model_tells_its_repository_and_commit(name, checkpoint):
    assert named(name) == checkpoint


def test_what_is_served_is_alike_by_any_of_its_names_but_by_none_that_is_only_a_place():
    assert alike("my-llama", "my-llama")
    assert alike(LLAMA, f"my-llama, {LLAMA}@{SHA}")
    assert not alike(f"{LLAMA}@{SHA}", f"{LLAMA}@abc1234")
    assert not alike("/repository", "/repository")
    assert not alike("", "")


@given(st.lists(st.text("ab/-", min_size=1), max_size=6))
def test_joined_names_each_once_and_is_no_other_text_for_one(names):
    assert joined(names).split(", ") == (list(dict.fromkeys(names)) or [""])
    assert joined(names[:1] * 3) == "".join(names[:1])


@given(st.lists(st.integers(0, 20), unique=True))
def test_groups_hold_every_name_once_beside_those_that_are_the_same(numbers):
    found = groups(map(str, numbers), lambda one, other: int(one) % 3 == int(other) % 3)
    assert sorted(name for group in found for name in group) == sorted(map(str, numbers))
    assert len(found) == len({number % 3 for number in numbers})
    assert all(len({int(name) % 3 for name in group}) == 1 for group in found)


def test_what_answered_stands_beside_what_was_asked_for_and_the_difference_is_told_in_words():
    counts = {("a", "my-llama"): 20, ("a", f"{LLAMA}@{SHA}"): 3, ("b", "my-llama"): 7, ("b", ""): 1}
    found = answered({"a": LLAMA, "b": "org/b"}, counts | {("b", "rehearsal"): 2, ("gone", "x"): 1})
    told = [one.told("dialogues") for one in found]
    assert [(one.model, one.served, one.differs) for one in found] == [
        ("a", f"{LLAMA}@{SHA}", False),
        ("a", "my-llama", True),
        ("b", "", False),
        ("b", "my-llama", True),
        ("b", "rehearsal", True),
        ("gone", "x", False),
    ]
    assert [*filter(None, told)] == [
        f"The study asks for {LLAMA} as a, and my-llama answered (20 dialogues).",
        "The study asks for org/b as b, and my-llama answered (7 dialogues).",
    ]
    assert several(found) == [
        f"One and the same answered for 2 models of the study: a, b are {LLAMA}@{SHA}, my-llama."
    ]
    assert several(answered({}, {("a", "rehearsal"): 1, ("b", "rehearsal"): 1})) == []
