"""sample: a few dialogues to read and hear, half of them accepted and half not.

Law of the file: the seed draws them, nobody picks; a dialogue is heard whole or not at all, and what did not fit is said.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from builder.core.draw import seed_of
from builder.core.scenario import parse_id
from builder.core.speech import Recording
from builder.core.verdict import Review
from builder.errors import SourceError
from builder.evidence.findings import OUTCOMES, Absent, Evidence, Excerpt, Finding

ORDER = 100
_TITLE = "A sample to read and hear"
_MEGABYTE = 1_000_000


def find(evidence: Evidence) -> Finding | Absent:
    """Draws dialogues and reads their clips."""
    held, run, most = evidence.held, evidence.run, evidence.options.sample
    if not most:
        return Absent(title=_TITLE, reason="no sample was asked for: `--sample 12` asks for one")
    if not held.ids:
        reason = "no dialogue is held: `deepdialogue generate` or `ingest` gives some"
        return Absent(title=_TITLE, reason=reason)
    drawn = sorted(
        range(len(held.ids)), key=lambda place: seed_of(run.study.seed, "sample", held.ids[place], bits=64)
    )
    accepted = [place for place in drawn if OUTCOMES[held.outcome[place]] == "accepted"]
    others = [place for place in drawn if OUTCOMES[held.outcome[place]] != "accepted"]
    half = max(most - len(others), (most + 1) // 2)
    chosen = [*accepted[:half], *others[: most - len(accepted[:half])]]
    ids = [held.ids[place] for place in chosen]
    heard, left_out, damaged = _heard(evidence, ids)
    excerpts = tuple(
        Excerpt(
            dialogue=run.dialogues[id],
            said=tuple(_said(evidence, run.reviews.get(id), heard[id][0] if id in heard else "")),
            clips=heard[id][1] if id in heard else (),
        )
        for id in ids
    )
    taken = len(accepted[:half])
    which = f": {taken} accepted and {len(ids) - taken} others" if run.study.judges else ""
    says = f"{len(ids)} of {len(held.ids):,} dialogues, drawn by the study's seed{which}. {len(heard)} of them can be heard here."
    if left_out:
        says += (
            f" {left_out} more are spoken and were left out, for with them the page would hold more than "
            f"{evidence.options.audio_mb:g} MB of sound: `--audio-mb` allows more."
        )
    if damaged:
        says += f" {len(damaged)} more cannot be heard, for their recordings are damaged: {damaged[0]}."
    return Finding(title=_TITLE, says=says, excerpts=excerpts)


def _heard(
    evidence: Evidence, ids: list[str]
) -> tuple[dict[str, tuple[str, tuple[bytes, ...]]], int, list[str]]:
    """By id who speaks and the clips, as far as there is room; how many did not fit; and what is wrong with others."""
    run, room = evidence.run, evidence.options.audio_mb * _MEGABYTE
    heard: dict[str, tuple[str, tuple[bytes, ...]]] = {}
    left_out, damaged = 0, list[str]()
    with ExitStack() as opened:
        files = {config: opened.enter_context(run.audio(config)) for config in run.recordings}
        for number, id in enumerate(ids):
            recordings = {
                config: recording
                for config, ledger in run.recordings.items()
                if (recording := ledger.get(id)) and len(recording.clips) == parse_id(id).num_turns
            }
            if not recordings:
                continue
            # Every config in turn, so that all voices are heard.
            config = list(recordings)[number % len(recordings)]
            clips = recordings[config].clips
            if (size := sum(clip.num_bytes for clip in clips)) > room:
                left_out += 1
                continue
            try:
                flacs = tuple(files[config].clips(recordings[config]))
            except SourceError as error:
                damaged.append(str(error))
                continue
            room -= size
            heard[id] = (_voices(config, recordings[config]), flacs)
    return heard, left_out, damaged


def _voices(config: str, recording: Recording) -> str:
    return f"heard here: {config}, {recording.engine}, {recording.first_voice} and {recording.second_voice}"


def _said(evidence: Evidence, review: Review | None, voices: str) -> Iterator[str]:
    """What became of a dialogue, by which votes, and who speaks it here."""
    if evidence.run.study.judges:
        decision = evidence.run.decision(review)
        why = f": {', '.join(decision.reasons)}" if decision and decision.reasons else ""
        yield f"{decision.outcome if decision else 'not judged yet'}{why}"
    verdicts = review.verdicts if review else ()
    # A rule has one criterion, its own name.
    passed = [verdict.judge for verdict in verdicts if verdict.scores == {verdict.judge: 1}]
    if passed:
        yield f"passed {', '.join(passed)}"
    for verdict in verdicts:
        if verdict.judge in passed:
            continue
        scores = ", ".join(f"{criterion} {score:.3g}" for criterion, score in verdict.scores.items())
        yield f"{verdict.judge}: {scores}{f' – {verdict.reason}' if verdict.reason else ''}"
    for abstention in review.abstentions if review else ():
        yield f"{abstention.judge} abstained: {abstention.reason}"
    if voices:
        yield voices
