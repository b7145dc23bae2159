"""What an estimate promises: tiny plans to the token, a rehearsed one to 15 %."""

import asyncio
import json
from collections import defaultdict

import msgspec
import pytest

from builder.config import load_study
from builder.core.chat import Actor, Script, conversation
from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.emotion import Emotion
from builder.core.estimate import Assumptions, Load, Speed, estimate
from builder.core.prompt import Decoding, Message, Prompt
from builder.core.scenario import Plan, Scenario, scenarios
from builder.core.usage import Price, Usage
from builder.core.vocabulary import Domain, Model, Pairing, Vocabulary
from builder.plugins import make
from builder.plugins.judges import Context, Judge
from builder.plugins.llm.rehearsal import BROKEN_REPLIES, Rehearsal


def emotion(*successors):
    return Emotion(ravdess="happy", valence=0.5, arousal=0.5, successors=successors)


VOCABULARY = Vocabulary(
    emotions={
        "happy": emotion("sad", "at ease"),
        "sad": emotion("happy"),
        "at ease": emotion("happy"),
    },
    domains={
        "travel": Domain(topics="trips abroad", emotions=("happy",)),
        "work": Domain(topics="jobs", emotions=("sad",)),
    },
    models={
        "one": Model(hub_id="org/one", billion_parameters=8),
        "two": Model(hub_id="org/two", billion_parameters=8, system_role=False),
    },
    pairings={"one_two": Pairing(first="one", second="two"), "one": Pairing(first="one", second="one")},
)
SCRIPT = Script(
    system="Friends on {domain}: {topics}. At most {word_limit} words.",  # 9 words on travel, 8 on work
    opening="Feel {emotion}",
    reply="Answer. Feel {emotion}",
)
PLAIN = Assumptions(
    words_a_turn=10, tokens_a_word=1, tokens_a_message=2, tokens_a_judged_turn=4, tokens_a_verdict=7
)


def scenario(*emotions, pairing="one_two", domain="travel", index=1):
    return Scenario(
        id=f"{pairing}/{domain}_{index}_{len(emotions)}", domain=domain, pairing=pairing, emotions=emotions
    )


def marks(dialogue):
    """A judge's prompt: three words of rubric, and one word less for each turn than is said, for JSON joins them."""
    texts = json.dumps([turn.text for turn in dialogue.turns], separators=(",", ":"))
    return Prompt(
        model="two",
        messages=(Message(role="system", content="Mark this dialogue"), Message(role="user", content=texts)),
        decoding=Decoding(),
        seed=0,
    )


def loads(*planned, judges=(), **changes):
    assume = Assumptions(**{field: getattr(PLAIN, field) for field in PLAIN.__struct_fields__} | changes)
    return estimate(planned, VOCABULARY, SCRIPT, judges, assume).loads


def test_a_dialogue_of_three_turns_is_counted_to_the_token():
    # Turn 1: 9 + 2 words, 2 messages. Turn 2, the system text in the user's message: 9 + 10 + 3 words, 1 message.
    # Turn 3: 9 + 2 + 10 + 10 + 3 words, 4 messages, of which the prompt of turn 1 is cached.
    assert loads(scenario("happy", "sad", "happy")) == {
        "one": Load(turn_calls=2, prompt_tokens=15 + 42, cached_tokens=15, completion_tokens=20),
        "two": Load(turn_calls=1, prompt_tokens=24, completion_tokens=10),
    }


def test_an_emotion_and_a_domain_count_with_all_their_words():
    assert loads(scenario("at ease", pairing="one"))["one"].prompt_tokens == 9 + 3 + 4
    assert loads(scenario("happy", pairing="one", domain="work"))["one"].prompt_tokens == 8 + 2 + 4


def test_the_loads_of_many_dialogues_are_the_sums_of_the_loads_of_each():
    planned = [
        scenario("happy", "sad", "happy"),
        scenario("happy", "at ease", "happy", "sad"),
        scenario("sad", pairing="one", domain="work"),
    ]
    each = [loads(one).get("one") for one in planned]
    together = loads(*planned)["one"]
    assert together.prompt_tokens == sum(load.prompt_tokens for load in each)
    assert together.cached_tokens == sum(load.cached_tokens for load in each)
    assert together.turn_calls == sum(load.turn_calls for load in each) == 5


def test_judges_read_the_rubric_once_and_every_dialogue_that_the_rules_let_pass():
    planned = [scenario("happy", "sad", "happy", index=index) for index in range(1, 5)]
    prompt = 3 + (3 * 10 - 3 + 1) + 2 * 2 + 3 * 4
    spoken = loads(*planned)["two"]
    judged = loads(*planned, judges=[marks])["two"]
    assert (judged.turn_calls, judged.judge_calls) == (4, 4)
    assert judged.prompt_tokens - spoken.prompt_tokens == 4 * prompt
    assert judged.cached_tokens - spoken.cached_tokens == 3 * 3
    assert judged.completion_tokens - spoken.completion_tokens == 4 * 7
    fewer = loads(*planned, judges=[marks], rejected=0.5)["two"]
    assert fewer.judge_calls == 2
    assert fewer.prompt_tokens - spoken.prompt_tokens == 2 * prompt
    assert fewer.cached_tokens - spoken.cached_tokens == 1 * 3
    assert loads(*planned, judges=[marks], rejected=1)["two"] == spoken


def rotated(dialogue):
    """A judge whose three criteria go round with the dialogue's index, after two words that never move."""
    names = ["coherence", "emotion", "safety"]
    first = int(dialogue.id.split("_")[-2]) % 3
    order = " ".join(names[first:] + names[:first])
    prompt = marks(dialogue)
    message = msgspec.structs.replace(prompt.messages[0], content=f"Mark by {order}")
    return msgspec.structs.replace(prompt, messages=(message, prompt.messages[1]))


def test_a_judge_that_turns_its_criteria_round_has_as_many_heads_in_the_cache():
    planned = [scenario("happy", "sad", "happy", index=index) for index in range(1, 11)]
    spoken, judged = (loads(*planned, judges=judges)["two"] for judges in ([], [rotated]))
    # Of the ten heads of five words the cache lacks each of the three once, less the two words they begin with.
    assert judged.cached_tokens - spoken.cached_tokens == 10 * 5 - (2 + 3 * 3)
    one = loads(planned[0], judges=[rotated])["two"]
    assert one.cached_tokens == loads(planned[0])["two"].cached_tokens, "nobody asked before"


def test_the_rubrics_prompts_share_as_much_as_is_estimated():
    """Against a cache that really holds every prompt so far, as words, of dialogues that all say something else."""
    study = load_study("quickstart")
    planned = list(scenarios(Plan(dialogues_per_cell=1), study.vocabulary, study.seed))[::3]
    judge, context = panel_of(study)[0]
    assert len(judge.criteria) > 2

    def ask(dialogue):
        return next(judge.judge(dialogue, context))

    shared, seen = 0, set()
    for number, one in enumerate(planned):
        turns = tuple(
            Turn(speaker=SPEAKERS[place % 2], text=f"said{number}x{place} and more", emotion=emotion)
            for place, emotion in enumerate(one.emotions)
        )
        dialogue = Dialogue(
            id=one.id,
            domain=one.domain,
            pairing=one.pairing,
            first_checkpoint="",
            second_checkpoint="",
            rehearsal=True,
            turns=turns,
        )
        words = " ".join(message.content for message in ask(dialogue).messages).split()
        beginnings = [tuple(words[:end]) for end in range(1, len(words) + 1)]
        shared += sum(beginning in seen for beginning in beginnings)
        seen.update(beginnings)
    script = study.script
    with_judge, without = (
        estimate(planned, study.vocabulary, script, judges, PLAIN).loads[judge.model].cached_tokens
        for judges in ([ask], [])
    )
    assert with_judge - without == pytest.approx(shared, rel=0.01)


def test_a_call_that_is_repeated_costs_the_same_again_and_finds_its_whole_prompt_in_the_cache():
    planned = scenario("happy", "sad", "happy")
    once, twice = loads(planned, judges=[marks]), loads(planned, judges=[marks], retries=1)
    for model in ("one", "two"):
        assert twice[model].turn_calls == 2 * once[model].turn_calls
        assert twice[model].judge_calls == 2 * once[model].judge_calls
        assert twice[model].prompt_tokens == 2 * once[model].prompt_tokens
        assert twice[model].completion_tokens == 2 * once[model].completion_tokens
        assert twice[model].cached_tokens == once[model].cached_tokens + once[model].prompt_tokens


def test_the_hours_follow_the_formula_and_a_cache_saves_reading_only():
    load = Load(prompt_tokens=7_200_000, cached_tokens=3_600_000, completion_tokens=7_200_000)
    speed = Speed(prompt_tokens_per_s=1000, completion_tokens_per_s=50, parallel=20)
    assert load.hours(speed) == 1.0 + 2.0
    assert load.hours(speed, cache=False) == 2.0 + 2.0


def test_money_counts_every_token_and_the_hours_that_the_slowest_takes():
    load = Load(turn_calls=3, judge_calls=2, prompt_tokens=1_000_000, completion_tokens=500_000)
    assert load.usage(2.0) == Usage(
        calls=5, prompt_tokens=1_000_000, completion_tokens=500_000, open_s=7200.0
    )
    made = estimate([scenario("happy", "sad")], VOCABULARY, SCRIPT, assume=PLAIN)
    prices = {"one": Price(per_hour=3.0), "two": Price(per_million_prompt_tokens=1e6)}
    assert made.money(prices, hours=2.0) == {"one": 6.0, "two": made.loads["two"].prompt_tokens}
    with pytest.raises(ValueError, match="EUR and USD"):
        made.money({"one": Price(currency="EUR"), "two": Price()})


def test_the_rows_say_each_model_and_all_and_leave_empty_what_is_not_known():
    planned = [scenario("happy", "sad", "happy", index=index) for index in range(1, 101)]
    made = estimate(planned, VOCABULARY, SCRIPT, assume=PLAIN)
    assert (made.dialogues, made.turns) == (100, 300)
    fast, slow = (
        Speed(prompt_tokens_per_s=speed, completion_tokens_per_s=1, parallel=10) for speed in (1.0, 0.1)
    )
    one, two, everything = made.rows({"one": fast, "two": slow}, {"*": Price(per_hour=1.0)})
    assert one == ("one", "200", "0", "5,700", "1,500", "2,000", "1.2", "1.6", "6.69")
    assert two == ("two", "100", "0", "2,400", "0", "1,000", "6.7", "6.7", "6.69")
    assert everything == ("all", "300", "0", "8,100", "1,500", "3,000", "6.7", "6.7", "13.39")
    one, two, everything = made.rows({"one": fast}, {"two": Price()})
    assert (one.hours, one.money, two.hours, two.money) == ("1.2", "", "", "0.00")
    assert (everything.hours, everything.hours_without_cache, everything.money) == ("", "", "")
    assert made.rows()[0].hours == made.rows()[0].money == ""


def test_no_plan_asks_for_nothing():
    made = estimate([], VOCABULARY, SCRIPT, [marks])
    assert (made.dialogues, made.turns, made.loads) == (0, 0, {})
    assert [row.prompt_tokens for row in made.rows()] == ["0"]


def test_the_whole_plan_asks_as_often_as_it_has_turns(whole_plan, vocabulary):
    made = estimate(iter(whole_plan), vocabulary, load_study("deepdialogue").script)
    assert made.dialogues == 65_600
    assert made.turns == sum(len(one.emotions) for one in whole_plan)
    assert sum(load.turn_calls for load in made.loads.values()) == made.turns
    assert set(made.loads) == set(vocabulary.models)
    assert all(0 < load.cached_tokens < load.prompt_tokens for load in made.loads.values())


def panel_of(study):
    """The judges that ask a model, each with what it may know."""
    judges = {name: make(Judge, table, name, default=name) for name, table in study.judges.items()}
    return [
        (judge, Context(name=name, seed=study.seed, vocabulary=study.vocabulary, twins={}))
        for name, judge in judges.items()
        if judge.models()
    ]


def rehearsed(study, planned):
    """Holds and judges dialogues with the stand-in: by model its completions, and those that are verdicts."""
    turns, verdicts = defaultdict(list), defaultdict(list)

    async def drive(thought, endpoint):
        given = None
        while True:
            try:
                step = thought.send(given)
            except StopIteration as end:
                return end.value
            given = None
            if isinstance(step, Prompt):
                given = await endpoint.complete(step)
                (verdicts if step.schema else turns)[step.model].append(given)

    async def hold():
        async with Rehearsal().open(study.vocabulary.models["phi4-mini"]) as endpoint:
            for one in planned:
                pair = study.vocabulary.pairings[one.pairing]
                cast = tuple(
                    Actor(model=name, checkpoint="", rehearsal=True) for name in (pair.first, pair.second)
                )
                domain = study.vocabulary.domains[one.domain]
                dialogue = await drive(conversation(one, domain, study.script, cast, study.seed), endpoint)
                for judge, context in panel_of(study):
                    await drive(judge.judge(dialogue, context), endpoint)

    asyncio.run(hold())
    return turns, verdicts


def test_what_a_rehearsed_run_counts_is_estimated_to_15_percent_for_every_model():
    study = load_study("quickstart")
    planned = list(scenarios(Plan(dialogues_per_cell=1), study.vocabulary, study.seed))[::9]
    turns, verdicts = rehearsed(study, planned)
    said = [answer.completion_tokens for answers in verdicts.values() for answer in answers]
    # The stand-in counts words: it has no chat template, and no tokens for the JSON around them.
    assume = Assumptions(
        tokens_a_message=0,
        tokens_a_judged_turn=0,
        tokens_a_verdict=sum(said) / len(said),
        retries=BROKEN_REPLIES,
    )
    asks = [
        lambda dialogue, judge=judge, context=context: next(judge.judge(dialogue, context))
        for judge, context in panel_of(study)
    ]
    made = estimate(planned, study.vocabulary, study.script, asks, assume)
    assert set(made.loads) == {*turns, *verdicts} == set(study.vocabulary.models)
    for model, load in made.loads.items():
        answers = turns[model] + verdicts[model]
        assert load.turn_calls == pytest.approx(len(turns[model]), rel=0.15)
        assert load.judge_calls == pytest.approx(len(verdicts[model]), rel=0.15)
        assert load.prompt_tokens == pytest.approx(sum(one.prompt_tokens for one in answers), rel=0.15)
        assert load.completion_tokens == pytest.approx(
            sum(one.completion_tokens for one in answers), rel=0.15
        )
