import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.prompt import check_template, fill


def test_a_template_with_exactly_its_placeholders_passes():
    check_template("About {domain}: {topics}. {domain}!", ("domain", "topics"))
    check_template('Braces around "{ no word }" and {} are only text: {domain}', ("domain",))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("About {topics}", "the placeholder {domain} is missing"),
        ("About {domain}", "the placeholder {topics} is missing"),
        ("{domain} {topics} {topic}", "the placeholder {topic} is unknown: did you mean 'topics'?"),
    ],
)
def test_a_template_that_lacks_a_placeholder_or_has_a_strange_one_is_refused(template, message):
    with pytest.raises(ValueError, match="placeholder") as refusal:
        check_template(template, ("domain", "topics"))
    assert str(refusal.value) == message


@given(st.text(), st.text())
def test_what_was_filled_in_is_never_looked_at_again(first, second):
    assert fill("{a}|{b}|{a}", {"a": first, "b": second}) == f"{first}|{second}|{first}"


def test_a_filled_in_placeholder_stays_as_it_was_said():
    assert fill("{a}, {b}", {"a": "{b}", "b": r"\1 {a}"}) == r"{b}, \1 {a}"
