import pytest

from builder.core.stop import asks


@pytest.mark.parametrize(
    "text",
    [
        "Really?",
        "真的吗？",
        "هل أنت هنا؟",
        "Είσαι εδώ;",
        "Είσαι εδώ\u037e",
        "Իսկապե՞ս՞",
        "Really⸮",
        "እውነት፧",
        "What⁉",
        "?",
    ],
)
def test_a_question_of_any_script_asks(text):
    assert asks(text)


@pytest.mark.parametrize("text", ["", "Yes.", "真的。", "Yes; no;", "Είμαι εδώ.", "What?!", ";", "نعم."])
def test_what_ends_otherwise_does_not(text):
    assert not asks(text)
