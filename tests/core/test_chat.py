import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.chat import Actor, Script, conversation
from builder.core.dialogue import Turn
from builder.core.prompt import Completion, Decoding, Prompt
from builder.core.scenario import Scenario
from builder.core.vocabulary import Domain
from builder.errors import ConfigError, ReplyError
from builder.records import convert

DOMAIN = Domain(topics="platforms and posts", emotions=("happy",))
SCRIPT = Script(
    system="Friends on {domain}: {topics}. At most {word_limit} words.\n",
    opening="Begin. You feel {emotion}\n",
    reply="Answer. You feel {emotion}\n",
    decoding=Decoding(temperature=0.5),
    word_limit=20,
    attempts=3,
)
HEAD = "Friends on social media: platforms and posts. At most 20 words."
EMOTIONS = ("happy", "proud", "relaxed", "hopeful", "curious", "amused")
CAST = (
    Actor(model="one", checkpoint="org/one", rehearsal=False),
    Actor(model="two", checkpoint="org/two@01ab", rehearsal=False),
)
UNFOLDED, FOLDED = (
    CAST,
    tuple(
        Actor(model=actor.model, checkpoint=actor.checkpoint, rehearsal=False, system_role=False)
        for actor in CAST
    ),
)


def scenario(length):
    emotions = tuple(EMOTIONS[position % 6] for position in range(length))
    return Scenario(
        id=f"one_two/social_media_1_{length}", domain="social_media", pairing="one_two", emotions=emotions
    )


def said(text, finish_reason="stop"):
    return Completion(text=text, finish_reason=finish_reason, prompt_tokens=1, completion_tokens=1)


def hold(talk, answers):
    """Drives a conversation with a list of strings, or with words made of the prompt."""
    prompts, turns, completion = [], [], None
    answer = answers if callable(answers) else lambda _, left=answers: left.pop(0)
    while True:
        try:
            step = talk.send(completion)
        except StopIteration as stop:
            return prompts, turns, stop.value
        if isinstance(step, Prompt):
            prompts.append(step)
            completion = said(answer(step))
        else:
            turns.append(step)
            completion = None


def by_seed(prompt):
    return f"I say {prompt.seed}."


def talk(length, cast=CAST, turns=(), seed=2505):
    return conversation(scenario(length), DOMAIN, SCRIPT, cast, seed, turns)


def test_a_list_of_strings_holds_a_dialogue():
    prompts, turns, dialogue = hold(talk(3), ["We won!", ' "No way!" ', "Three to *two*."])
    assert dialogue.turns == tuple(turns)
    assert turns == [
        Turn(speaker="LLM1", text="We won!", emotion="happy"),
        Turn(speaker="LLM2", text="No way!", emotion="proud"),
        Turn(speaker="LLM1", text="Three to two.", emotion="relaxed"),
    ]
    assert [prompt.model for prompt in prompts] == ["one", "two", "one"]
    assert {prompt.decoding for prompt in prompts} == {SCRIPT.decoding}
    assert {prompt.thread for prompt in prompts} == {dialogue.id}
    assert (dialogue.id, dialogue.domain, dialogue.pairing) == (
        "one_two/social_media_1_3",
        "social_media",
        "one_two",
    )
    assert (dialogue.first_checkpoint, dialogue.second_checkpoint) == ("org/one", "org/two@01ab")


def test_each_speaker_hears_its_own_turns_as_its_own():
    prompts, _, _ = hold(talk(4), ["A!", "B!", "C!", "D!"])
    assert [(message.role, message.content) for message in prompts[2].messages] == [
        ("system", HEAD),
        ("user", "Begin. You feel happy"),
        ("assistant", "A!"),
        ("user", "B!\n\nAnswer. You feel relaxed"),
    ]
    assert [(message.role, message.content) for message in prompts[3].messages] == [
        ("system", HEAD),
        ("user", "A!\n\nAnswer. You feel proud"),
        ("assistant", "B!"),
        ("user", "C!\n\nAnswer. You feel hopeful"),
    ]


def test_without_a_system_role_the_system_text_opens_the_first_user_message():
    prompts, _, _ = hold(talk(3, cast=FOLDED), ["A!", "B!", "C!"])
    assert [(message.role, message.content) for message in prompts[1].messages] == [
        ("user", f"{HEAD}\n\nA!\n\nAnswer. You feel proud"),
    ]
    assert [(message.role, message.content) for message in prompts[2].messages] == [
        ("user", f"{HEAD}\n\nBegin. You feel happy"),
        ("assistant", "A!"),
        ("user", "B!\n\nAnswer. You feel relaxed"),
    ]


@pytest.mark.parametrize("cast", [UNFOLDED, FOLDED, (UNFOLDED[0], FOLDED[1])])
@given(length=st.integers(min_value=1, max_value=11))
def test_a_speakers_prompts_only_ever_grow_and_end_with_the_emotion(cast, length):
    prompts, _, dialogue = hold(talk(length, cast=cast), by_seed)
    assert len(prompts) == length
    for position, prompt in enumerate(prompts):
        roles = [message.role for message in prompt.messages]
        if cast[position % 2].system_role:
            assert roles.pop(0) == "system"
        assert roles == ["user", "assistant"] * (position // 2) + ["user"]
        assert prompt.messages[-1].content.endswith(f"You feel {dialogue.turns[position].emotion}")
        if position > 1:
            before = prompts[position - 2].messages
            assert prompt.messages[: len(before)] == before


@given(st.integers(min_value=1, max_value=11), st.data())
def test_a_dialogue_goes_on_from_any_number_of_finished_turns(length, data):
    prompts, _, dialogue = hold(talk(length), by_seed)
    finished = data.draw(st.integers(min_value=0, max_value=length))
    owed, turns, again = hold(talk(length, turns=dialogue.turns[:finished]), by_seed)
    assert again == dialogue
    assert owed == prompts[finished:]
    assert tuple(turns) == dialogue.turns[finished:]


def test_every_turn_and_every_study_has_a_seed_of_its_own():
    prompts, _, _ = hold(talk(11), by_seed)
    others, _, _ = hold(talk(11, seed=2506), by_seed)
    assert len({prompt.seed for prompt in prompts + others}) == 22


def test_a_breach_is_asked_again_in_the_same_words_with_another_seed():
    prompts, turns, _ = hold(talk(2), ["A!", "LLM2: B!", "*sighs* B!", "B!"])
    assert [turn.text for turn in turns] == ["A!", "B!"]
    assert len({prompt.messages for prompt in prompts[1:]}) == 1
    assert len({prompt.seed for prompt in prompts}) == 4


def test_a_breach_leaves_the_next_turns_seeds_as_they_are():
    prompts, _, _ = hold(talk(2), ["", "A!", "B!"])
    straight, _, _ = hold(talk(2), ["A!", "B!"])
    assert prompts[2] == straight[1]


def test_a_reply_that_was_cut_off_is_asked_again():
    held = talk(1)
    next(held)
    assert isinstance(held.send(said("A long", finish_reason="length")), Prompt)


def test_attempts_are_bounded_and_the_failure_says_every_reason():
    held = talk(2, turns=(Turn(speaker="LLM1", text="A!", emotion="happy"),))
    answers = ["", "LLM2: B!", "word " * 51, "never asked for"]
    with pytest.raises(ReplyError) as failure:
        hold(held, answers)
    assert str(failure.value) == "turn 2 of 2, two: empty, role label, too long"


def test_words_of_a_model_are_data_even_where_they_look_like_a_template():
    spoken = Turn(speaker="LLM1", text="I feel {emotion} about {domain}!", emotion=EMOTIONS[0])
    prompts, _, _ = hold(talk(2, turns=(spoken,)), ["B!"])
    assert prompts[0].messages[-1].content == "I feel {emotion} about {domain}!\n\nAnswer. You feel proud"


def test_thinking_is_no_part_of_a_turn_whoever_tells_it_apart():
    _, turns, _ = hold(talk(2), ["<think>\nJoy.\n</think>\n\nWe won!", "Hm.\n</think>\n\nNo way!"])
    assert [turn.text for turn in turns] == ["We won!", "No way!"]


def test_a_model_whose_tokens_ran_out_while_it_thought_is_told_how_to_stop_it():
    held = talk(1)
    thought = Completion(text="", finish_reason="length", thinking="Well, joy means")
    next(held)
    for _ in range(SCRIPT.attempts - 1):
        held.send(thought)
    with pytest.raises(ReplyError) as failure:
        held.send(thought)
    assert "one: thought too long" in str(failure.value)
    assert "max_tokens" in str(failure.value)


@pytest.mark.parametrize("stand_in", [0, 1])
def test_one_stand_in_makes_the_dialogue_a_rehearsal(stand_in):
    cast = tuple(
        Actor(model=actor.model, checkpoint=actor.checkpoint, rehearsal=position == stand_in)
        for position, actor in enumerate(CAST)
    )
    assert hold(talk(1, cast=cast), ["A!"])[2].rehearsal
    assert not hold(talk(1), ["A!"])[2].rehearsal


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": "{domain} {topics}"}, "prompt 'system': the placeholder {word_limit} is missing"),
        ({"opening": "Begin."}, "prompt 'opening': the placeholder {emotion} is missing"),
        ({"reply": "{emotion} {domain}"}, "prompt 'reply': the placeholder {domain} is unknown"),
        ({"word_limit": 30, "max_words": 20}, "word_limit is 30, more than max_words, 20"),
        ({"attempts": 0}, "key 'attempts' is 0"),
    ],
)
def test_a_script_that_cannot_be_spoken_is_refused(change, message):
    table = {"system": SCRIPT.system, "opening": SCRIPT.opening, "reply": SCRIPT.reply, **change}
    with pytest.raises(ConfigError) as refusal:
        convert(table, Script, "study.toml")
    assert message in str(refusal.value)
