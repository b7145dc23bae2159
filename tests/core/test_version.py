import pytest

from builder.core.version import (
    FIRST,
    Column,
    Counts,
    Release,
    Version,
    columns,
    compare,
    judged,
    with_versions,
    without_versions,
)

CARD = "---\nlicense: x\n---\n# Title\n\nWords.\n\n## Cite\n\nNobody.\n"


def test_a_version_reads_what_it_writes_and_later_is_greater():
    assert str(Version.parse("v1.20.3")) == "1.20.3"
    assert Version.parse("1.20.3").tag == "v1.20.3"
    assert Version.parse("1.10.0") > Version.parse("1.9.9")


@pytest.mark.parametrize("text", ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.x", "v", "1.2.3-rc1", "-1.0.0"])
def test_what_is_no_version_is_refused_by_its_text(text):
    with pytest.raises(ValueError, match=r"is no version: write it as 1\.2\.0"):
        Version.parse(text)


@pytest.mark.parametrize(
    ("step", "next_one"), [("none", "1.2.3"), ("patch", "1.2.4"), ("minor", "1.3.0"), ("major", "2.0.0")]
)
def test_a_step_counts_up_its_place_and_clears_those_after_it(step, next_one):
    assert str(Version(1, 2, 3).after(step)) == next_one


def judge(gone=(), new=(), schema=(), files=0, **counts):
    return judged({"xtts": Counts(**counts)}, gone, new, schema, files)


@pytest.mark.parametrize(
    ("changed", "step"),
    [
        ({}, "none"),
        ({"files": 1}, "patch"),
        ({"rest": 1}, "patch"),
        ({"added": 1}, "minor"),
        ({"audio": 1, "clips": 2}, "minor"),
        ({"new": ["orpheus"]}, "minor"),
        ({"schema": [Column("xtts", "turns.pitch", "is new", breaks=False)]}, "minor"),
        ({"removed": 1}, "major"),
        ({"text": 1}, "major"),
        ({"moved": 1}, "major"),
        ({"gone": ["orpheus"]}, "major"),
        ({"schema": [Column("xtts", "duration", "is gone", breaks=True)]}, "major"),
        ({"added": 100, "audio": 3, "rest": 9, "removed": 1}, "major"),
    ],
)
def test_the_gravest_change_is_the_step(changed, step):
    found, changes = judge(**changed)
    assert found == step
    assert bool(changes) == (step != "none")


def test_every_change_is_told_by_config_what_weighs_most_first():
    counts = {"text-only": Counts(added=1200, removed=2), "xtts": Counts(added=3, clips=7)}
    assert judged(counts, [], ["orpheus"], [], 5)[1] == (
        "dialogues removed: 2 in text-only",
        "config orpheus is new",
        "dialogues added: 1,200 in text-only, 3 in xtts",
        "7 clips are other than before",
    )


def test_counts_add_up_by_name():
    assert Counts(added=1, clips=2) + Counts(added=3, rest=1) == Counts(added=4, clips=2, rest=1)


LABEL = {"name": "emotion", "dtype": {"class_label": {"names": {"1": "sad", "0": "happy", "10": "calm"}}}}


def test_columns_are_found_in_lists_and_labels_are_in_the_order_of_their_numbers():
    features = [
        {"name": "id", "dtype": "string"},
        {"name": "turns", "list": [LABEL, {"name": "text", "dtype": "string"}]},
        {"name": "split", "dtype": {"class_label": {"names": ["train", "test"]}}},
        {"name": "audio", "list": {"audio": {"sampling_rate": 24000}}},
    ]
    found = columns(features)
    assert list(found) == ["id", "turns.emotion", "turns.text", "split", "audio"]
    assert found["turns.emotion"] == ("happy", "sad", "calm")
    assert found["split"] == ("train", "test")
    assert "24000" in found["audio"]


@pytest.mark.parametrize(
    ("old", "new", "told", "breaks"),
    [
        ("a", "a", None, None),
        ("a", "b", "x: column c is of another type", True),
        ("a", None, "x: column c is gone", True),
        (None, "a", "x: column c is new", False),
        (("a", "b"), ("a", "b", "c", "d"), "x: column c has new labels at the end: c, d", False),
        (("a", "b"), ("b", "a"), "x: column c numbers its labels differently", True),
        (("a", "b"), ("a",), "x: column c numbers its labels differently", True),
        (("a", "b"), "a", "x: column c is of another type", True),
    ],
)
def test_a_column_that_is_only_more_breaks_nothing_and_any_other_change_does(old, new, told, breaks):
    held = [{} if value is None else {"c": value} for value in (old, new)]
    assert [(str(one), one.breaks) for one in compare("x", *held)] == ([(told, breaks)] if told else [])


def release(version, *changes):
    return Release(version=version, step="minor", changes=changes, source="0")


def test_the_newest_version_comes_first_and_the_citation_stays_last():
    card = with_versions(CARD, [release("1.0.0", "first"), release("1.1.0", "more", "better")], "load()")
    assert card.index("### v1.1.0\n\n- more\n- better") < card.index("### v1.0.0") < card.index("## Cite")
    assert "```python\nload()\n```" in card
    assert card.endswith("\n## Cite\n\nNobody.\n")


@pytest.mark.parametrize("card", [CARD, CARD.partition("\n## Cite")[0]])
def test_a_card_without_its_versions_is_what_it_was_however_often_it_was_published(card):
    once = with_versions(card, [release(str(FIRST), "first")], "load()")
    twice = with_versions(once, [release(str(FIRST), "first"), release("1.0.1", "card")], "load()")
    assert once != card
    assert twice.count("## Versions") == 1
    assert without_versions(once) == without_versions(twice) == without_versions(card) == card
