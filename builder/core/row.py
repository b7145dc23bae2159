"""One row, one dialogue, or one turn of it: what readers of the dataset see, before labels become numbers.

Law of the file: names and units here are the dataset's; `deepdialogue.features` gives their types.
"""

from collections.abc import Mapping
from typing import Any

from builder.core.dialogue import SPEAKERS, Dialogue
from builder.core.emotion import Ravdess
from builder.core.speech import Recording, timeline
from builder.core.verdict import Review
from builder.core.vocabulary import Pairing

Row = dict[str, Any]


def text_row(
    dialogue: Dialogue, pairing: Pairing, split: str, review: Review | None, ravdess: Mapping[str, Ravdess]
) -> Row:
    """The row of a dialogue in the config `text-only`.

    Args:
        dialogue: the dialogue.
        pairing: its two models.
        split: where it belongs.
        review: what the judges said; None where nobody judged.
        ravdess: the acted class of every emotion.
    """
    verdicts = review.verdicts if review else ()
    return {
        "id": dialogue.id,
        "split": split,
        "domain": dialogue.domain,
        "pairing": dialogue.pairing,
        "first_model": pairing.first,
        "second_model": pairing.second,
        "first_checkpoint": dialogue.first_checkpoint,
        "second_checkpoint": dialogue.second_checkpoint,
        "rehearsal": dialogue.rehearsal,
        "num_turns": len(dialogue.turns),
        "scores": [
            {"judge": verdict.judge, "criterion": criterion, "score": score}
            for verdict in verdicts
            for criterion, score in verdict.scores.items()
        ],
        "turns": [
            {
                "speaker": turn.speaker,
                "text": turn.text,
                "emotion": turn.emotion,
                "ravdess": ravdess[turn.emotion],
            }
            for turn in dialogue.turns
        ],
    }


def spoken_row(text: Row, recording: Recording, flacs: list[bytes]) -> Row:
    """The row of the same dialogue in a config with audio.

    Args:
        text: what `text_row` gave.
        recording: of the dialogue.
        flacs: one a turn, or none where nobody hears them.

    Returns:
        The row; beside each clip the checksum of its bytes where it is known, which is no column.
    """
    times = timeline(recording.clips, recording.sampling_rate_hz)
    samples = sum(clip.num_samples + clip.pause_samples for clip in recording.clips)
    name = recording.id.rpartition("/")[2]
    return text | {
        "rehearsal": text["rehearsal"] or recording.rehearsal,
        "engine": recording.engine,
        "first_voice": recording.first_voice,
        "second_voice": recording.second_voice,
        "duration": samples / recording.sampling_rate_hz,
        "turns": [
            turn | {"ravdess": clip.ravdess, "start": start, "end": end}
            for turn, clip, (start, end) in zip(text["turns"], recording.clips, times, strict=True)
        ],
        "audio": [
            {"bytes": flac, "path": f"{name}_{position:02d}.flac"}
            | ({"sha256": clip.flac_sha256} if clip.flac_sha256 else {})
            for position, (flac, clip) in enumerate(zip(flacs, recording.clips, strict=False), start=1)
        ],
    }


def turn_rows(row: Row) -> list[Row]:
    """The rows of a spoken dialogue's turns in the config with one turn a row.

    Args:
        row: what `spoken_row` gave.
    """
    return [_turn_row(row, position) for position in range(1, len(row["turns"]) + 1)]


def _turn_row(row: Row, position: int) -> Row:
    turn = row["turns"][position - 1]
    who = "first" if turn["speaker"] == SPEAKERS[0] else "second"
    return {
        "id": f"{row['id']}/{position:02d}",
        "dialogue": row["id"],
        "turn": position,
        "num_turns": row["num_turns"],
        "split": row["split"],
        "domain": row["domain"],
        "pairing": row["pairing"],
        "rehearsal": row["rehearsal"],
        "model": row[f"{who}_model"],
        "checkpoint": row[f"{who}_checkpoint"],
        "engine": row["engine"],
        "voice": row[f"{who}_voice"],
        "speaker": turn["speaker"],
        "text": turn["text"],
        "emotion": turn["emotion"],
        "ravdess": turn["ravdess"],
        "start": turn["start"],
        "duration": turn["end"] - turn["start"],
        "audio": row["audio"][position - 1],
    }
