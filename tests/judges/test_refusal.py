import pytest


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I don't travel.",
        "As an AI, I have never been there.",
        "I'm just an AI, but that sounds fun!",
        "I am a large language model trained by a company.",
        "I\u2019m sorry, but I can\u2019t help with that request.",
        "I'm sorry, I cannot continue this conversation.",
        "I cannot assist with that.",
        "I can't provide information about that.",
        "*sighs* I'm unable to engage in this kind of talk.",
        "I don't have feelings, but I understand.",
        "I don't have personal experiences, but Greece is popular.",
        "Hello! How can I assist you today?",
        "Great choice! How may I help you?",
    ],
)
def test_a_turn_that_refuses_or_speaks_as_an_assistant_is_quoted(fault, held, text):
    found = fault("refusal", held("Shall we go?", text))
    assert found.startswith("turn 2 refuses or speaks as an assistant: ")


@pytest.mark.parametrize(
    "text",
    [
        "Let me stay under the word limit: I loved it!",
        "In 25 words or less: I loved Santorini.",
        "The emotion I feel: happy. What a trip!",
        "The emotion I feel is joy, so let's go!",
        "Here's a reply that sounds excited: wow!",
        "I was so glad, to express the given emotion.",
        "That is the emotion I was asked to show.",
        "I'll respond as a close friend: let's go!",
    ],
)
def test_a_turn_that_repeats_its_instructions_is_quoted(fault, held, text):
    assert fault("refusal", held("Shall we go?", text)).startswith("turn 2 repeats its instructions: ")


@pytest.mark.parametrize("text", ["LLM2: I loved it!", "I loved it!<|im_end|>", "Assistant: I loved it!"])
def test_a_speaker_label_or_a_chat_marker_is_found(fault, held, text):
    assert fault("refusal", held("Shall we go?", text)) == "turn 2 labels a speaker or holds a chat marker"


@pytest.mark.parametrize(
    "text",
    [
        "I'm so sorry, I can't make it to your wedding.",
        "I'm sorry, but I can't help feeling jealous of that beach!",
        "I'm sorry, I won't be there before nine.",
        "I can't help you with the move on Sunday, but Monday works.",
        "I can't provide for three children on that salary.",
        "I just can't continue like this, he never listens.",
        "I don't have feelings for him any more.",
        "As an AI engineer, I see these tools every day.",
        "I'm an AI enthusiast, and I talk to a chatbot more than to you!",
        "Did you hear that an AI wrote a hit song?",
        "How can I help you move? I have a van!",
        "The emotion you feel when the curtain rises is unbelievable.",
        "My essay is way over the word limit, and it is due tomorrow!",
        "Our professor wants the abstract in at most 200 words.",
        "I have no assistant: I do it all by myself.",
    ],
)
def test_what_friends_say_passes(fault, held, text):
    assert fault("refusal", held("How are you?", text)) is None
