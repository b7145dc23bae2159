"""One dialogue on the terminal.

Law of the file: it looks at the run and at nothing else, so that it is there at once.
"""

from rich.console import Console
from rich.text import Text

from builder.core.speech import timeline
from builder.core.verdict import decide
from builder.errors import RunError, nearest
from builder.people.markup import COLOURS
from builder.run.folder import Run
from builder.terminal import plain


def show_dialogue(run: Run, wanted: str | None, console: Console) -> None:
    """One dialogue, readable, with its emotions in colour, what the judges said and where it is to be heard.

    Args:
        run: where it is.
        wanted: its id, or the part of it after the slash where that is enough; None takes the first.
        console: where it is shown.

    Raises:
        RunError: no dialogue, or more than one, has this id.
    """
    id = _resolved(run, wanted)
    dialogue, ravdess = run.dialogues[id], run.study.vocabulary.ravdess()
    spoken = {config: ledger[id] for config, ledger in run.recordings.items() if id in ledger}
    times = {config: timeline(one.clips, one.sampling_rate_hz) for config, one in spoken.items()}
    console.print(f"[bold]{id}[/bold]  {dialogue.domain.replace('_', ' ')}", highlight=False)
    spoke = f"LLM1 {dialogue.first_checkpoint}, LLM2 {dialogue.second_checkpoint}"
    console.print(Text(plain(spoke)), end="\n\n")
    for position, turn in enumerate(dialogue.turns):
        colour = COLOURS[ravdess[turn.emotion]]
        heard = "  ".join(
            f"{config} {at[position][0]:.1f}–{at[position][1]:.1f} s" for config, at in times.items()
        )
        console.print(
            Text.assemble(
                (f"{turn.speaker}  ", "bold"), (plain(turn.emotion), f"bold {colour}"), (f"  {heard}", "dim")
            ),
            Text(plain(turn.text), style=colour),
            sep="\n",
        )
    if id in run.reviews:
        review = run.reviews[id]
        decision = decide(review, run.study.acceptance)
        reasons = plain(", ".join(decision.reasons))
        console.print(Text.assemble("\n", (decision.outcome, "bold"), f" {reasons}"))
        for verdict in review.verdicts:
            scores = ", ".join(f"{name} {score:g}" for name, score in verdict.scores.items())
            said = f"  {verdict.judge}: {scores}  {verdict.reason}"
            console.print(Text(plain(said), style="dim"))
            for name, by_turn in verdict.turns.items():
                said = f"    {name} by turn: {' '.join(map(str, by_turn))}"
                console.print(Text(plain(said), style="dim"))
        for abstention in review.abstentions:
            said = f"  {abstention.judge} abstained: {abstention.reason}"
            console.print(Text(plain(said), style="dim"))
    for config, one in spoken.items():
        console.print(
            Text(
                plain(f"{config}: {one.engine}, LLM1 {one.first_voice}, LLM2 {one.second_voice}"), style="dim"
            ),
        )


def _resolved(run: Run, wanted: str | None) -> str:
    ids = run.dialogues.ids()
    if not ids:
        raise RunError(f"{run.folder} holds no dialogue yet")
    if wanted is None:
        return ids[0]
    found = [id for id in ids if wanted in {id, id.partition("/")[2]}]
    if len(found) == 1:
        return found[0]
    if found:
        raise RunError(f"{wanted!r} is the id of {len(found)} dialogues: name one of {', '.join(found)}")
    raise RunError(
        f"{run.folder} holds no dialogue {wanted!r}: {nearest(wanted, ids) if len(ids) < 1000 else ids[0]}"
    )
