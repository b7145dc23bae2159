"""What the journal of answers promises: over any number of interruptions nothing that was answered is asked for again."""

import asyncio

import pytest

from builder.core.chat import Actor, conversation
from builder.core.prompt import Completion, Decoding, Message, Prompt
from builder.core.scenario import scenarios
from builder.errors import ReplyError
from builder.run.folder import Run
from builder.run.journal import Answered, Journal
from builder.run.ledger import Ledger, Ledgers
from builder.run.work import work
from tests.runs import small


class Model:
    """An endpoint that says the next of some answers, and keeps what it was asked."""

    limit = 1
    served = "served"

    def __init__(self, *answers, checkpoint="ORG/NAME"):
        self.answers, self.checkpoint, self.asked = list(answers), checkpoint, []

    async def complete(self, prompt):
        self.asked.append(prompt)
        return Completion(text=self.answers.pop(0), finish_reason="stop", thinking="hm", model=self.served)


def asks(number, text="Say something."):
    return Prompt(model="m", messages=(Message("user", text),), decoding=Decoding(), seed=number)


def opened(path, owed=lambda _: True, others=(), refused=lambda _: False):
    own = Ledger(path, Answered, writable=True)
    return own, Journal(Ledgers(own, others), owed, refused)


def ask(journal, model, *prompts, id="d"):
    async def all_of_them():
        return [(await journal.ask(id, index, prompt, model)).text for index, prompt in enumerate(prompts)]

    return asyncio.run(all_of_them())


def test_what_was_answered_is_not_asked_for_again_by_whoever_opens_the_journal_next(tmp_path):
    model = Model("one", "two", "three")
    own, journal = opened(tmp_path / "turns.jsonl")
    assert ask(journal, model, asks(1), asks(2)) == ["one", "two"]
    own.close()
    own, journal = opened(tmp_path / "turns.jsonl")
    assert "d" in journal
    assert ask(journal, model, asks(1), asks(2), asks(3)) == ["one", "two", "three"]
    assert [prompt.seed for prompt in model.asked] == [1, 2, 3]
    assert [line.index for line in own.lines()] == [0, 1, 2]
    assert {(line.completion.thinking, line.completion.model) for line in own.lines()} == {("hm", "served")}
    own.close()


def test_what_another_checkpoint_answered_is_asked_for_again_where_that_is_refused_and_then_no_more(tmp_path):
    model = Model("by another", "by whom was asked")
    for refused, said in ((False, "by another"), (True, "by whom was asked"), (True, "by whom was asked")):
        own, journal = opened(
            tmp_path / "turns.jsonl", refused=lambda voice, yes=refused: yes and voice == ("m", "served")
        )
        assert ask(journal, model, asks(1), asks(1)) == [said, said]
        own.close()
        model.served = ""
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("prompt", "checkpoint"),
    [(asks(1, "Say more."), "ORG/NAME"), (asks(1), "ORG/NAME@2"), (asks(2), "ORG/NAME")],
)
def test_an_answer_to_another_prompt_or_of_another_checkpoint_is_not_used(tmp_path, prompt, checkpoint):
    own, journal = opened(tmp_path / "turns.jsonl")
    ask(journal, Model("old"), asks(1))
    assert ask(journal, Model("new", checkpoint=checkpoint), prompt) == ["new"]
    assert ask(journal, Model(), asks(1)) == ["old"]
    own.close()


def test_of_two_answers_that_two_processes_had_to_one_prompt_the_first_counts(tmp_path):
    others = []
    for number, answer in enumerate(("first", "second"), 1):
        own, journal = opened(tmp_path / f"turns.{number}-of-2.jsonl")
        ask(journal, Model(answer), asks(1))
        own.close()
        others.append(Ledger(own.path, Answered, writable=False))
    own, journal = opened(tmp_path / "turns.jsonl", others=others)
    assert ask(journal, Model(), asks(1)) == ["first"]
    for ledger in (own, *others):
        ledger.close()


def test_what_is_finished_is_not_held_in_memory(tmp_path):
    own, journal = opened(tmp_path / "turns.jsonl")
    ask(journal, Model("one"), asks(1))
    journal.finish("d")
    assert "d" not in journal
    own.close()
    own, journal = opened(tmp_path / "turns.jsonl", owed=lambda id: id != "d")
    assert "d" not in journal
    own.close()


def test_an_answer_that_cannot_be_written_is_not_used(tmp_path):
    own, journal = opened(tmp_path / "nowhere.jsonl")
    own.close()
    own.path.mkdir()
    own._unmade = True
    with pytest.raises(OSError, match="Is a directory"):
        ask(journal, Model("one"), asks(1))


OLD = b"""{"ledger":"turns","schema":1}
{"id":"%(id)s","index":0,"checkpoint":"a","turn":{"speaker":"LLM1","text":"Well.","emotion":"happy"}}
{"id":"%(id)s","index":1,"checkpoint":"b","turn":{"speaker":"LLM2","text":"Well!","emotion":"happy"}}
"""


def test_the_turns_that_an_older_version_journalled_are_gone_on_from(tmp_path):
    study = small()
    scenario = next(
        one for one in scenarios(study.plan, study.vocabulary, study.seed) if len(one.emotions) > 3
    )
    (tmp_path / "turns.jsonl").write_bytes(OLD % {b"id": scenario.id.encode()})
    own, journal = opened(tmp_path / "turns.jsonl")
    assert scenario.id in journal
    turns = journal.formerly(scenario.id, ("a", "b"))
    assert [turn.text for turn in turns] == ["Well.", "Well!"]
    assert journal.formerly(scenario.id, ("a", "c")) == ()
    cast = tuple(Actor(model=name, checkpoint=name, rehearsal=False) for name in ("a", "b"))
    talk = conversation(
        scenario, study.vocabulary.domains[scenario.domain], study.script, cast, study.seed, turns
    )
    prompt = next(talk)
    assert ask(journal, Model("So it is."), prompt, id=scenario.id) == ["So it is."]
    own.close()
    assert (tmp_path / "turns.jsonl").read_bytes().splitlines()[-1].startswith(b'{"id":'), "as it was begun"


def test_what_is_given_up_stays_so_until_a_command_has_ended_and_then_gets_new_attempts(tmp_path):
    study = small()
    scenario = next(scenarios(study.plan, study.vocabulary, study.seed))
    cast = tuple(Actor(model=name, checkpoint=name, rehearsal=False) for name in ("a", "b"))
    domain, script = study.vocabulary.domains[scenario.domain], study.script
    seeds = []

    async def hold(run, model):
        talk = conversation(
            scenario, domain, script, cast, study.seed, rounds=run.failures.rounds_of(scenario.id)
        )
        journal = Journal(run.turns, lambda _: True, lambda _: False)
        prompt = next(talk)
        while True:
            prompt = talk.send(await journal.ask(scenario.id, 0, prompt, model))

    def held(*answers, end=False):
        with Run(tmp_path / "run", study) as run:
            model = Model(*answers)

            async def do(_):
                await hold(run, model)

            tally = asyncio.run(work(run, "generate", [scenario.id], do, total=1, at_once=1, done=0))
            assert tally.given_up == 1
            if end:
                run.failures.end(run.takes)
        seeds.extend(prompt.seed for prompt in model.asked)
        return len(model.asked)

    assert held(*[""] * script.attempts) == script.attempts
    assert held() == 0, "no command has ended"
    assert held(end=True) == 0
    with pytest.raises(IndexError):
        held(*[""])  # interrupted after one more attempt
    assert held(*[""] * (script.attempts - 1)) == script.attempts - 1
    assert held() == 0
    assert len(set(seeds)) == len(seeds) == 2 * script.attempts - 1
    with pytest.raises(ReplyError) as failure, Run(tmp_path / "run", study) as run:
        asyncio.run(hold(run, Model()))
    assert str(failure.value).count("empty") == script.attempts
