import pytest


@pytest.mark.parametrize("rule", ["duplicate", "language", "length", "refusal", "repetition"])
def test_no_rule_finds_fault_with_what_friends_say_in_the_published_dialogues(fault, published, rule):
    assert len(published) == 10
    faults = {dialogue.id: fault(rule, dialogue) for dialogue in published}
    assert {name: found for name, found in faults.items() if found} == {}


def test_the_rules_find_what_is_planted_in_a_published_dialogue(fault, held, published):
    texts = [turn.text for turn in published[0].turns]
    assert fault("repetition", held(*texts, texts[0])).startswith(f"turn {len(texts) + 1}: 100%")
    assert fault("refusal", held(*texts, "As an AI, I have never been to Greece."))
    assert fault("length", held(*texts, "Hm."))
    assert fault("language", held(*texts, "C'est une bonne idée, on y va avec toi demain !"))
