"""A published source in small: texts in the published JSON, clips of noise, joined as the published ones are.

Law of the file: the layout and the pauses are written down here once more, and nothing of the project is used.
"""

import json
from pathlib import Path

import numpy as np
import soundfile

RATE = 24_000
ENGINES = ("orpheus", "xtts")
LLAMA, QWEN = "meta-llama/Meta-Llama-3-70B-Instruct", "Qwen/Qwen2.5-72B-Instruct"
PAIRING = "llama3-70B_qwen2.5-72B"
TRAVEL, FINANCE = f"{PAIRING}/travel_1_3", f"{PAIRING}/finance_2_4"
TURNS = (
    ("LLM1", "Shall we go?", "curious", "neutral"),
    ("LLM2", "Yes! To the sea.", "excited", "happy"),
    ("LLM1", "I miss it", "nostalgic", "sad"),
    ("LLM2", "So do I?", "disappointed", "disgust"),
)


def noise(seed, num_samples):
    """Sound without a zero in it, of shape (num_samples,)."""
    draw = np.random.default_rng(seed)
    loudness = draw.integers(1, 3000, num_samples)
    return (loudness * draw.choice([-1, 1], num_samples)).astype(np.int16)


def write(path, samples, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")


def read(path):
    return soundfile.read(path, dtype="int16")[0]


def text_of(source, engine, dialogue):
    """The path of the JSON."""
    pairing, _, stem = dialogue.partition("/")
    return Path(source) / engine / "data" / f"dialogues_{pairing}" / f"{stem}.json"


def full_of(source, engine, dialogue):
    """The path of the full recording."""
    folder = text_of(source, engine, dialogue).with_suffix("")
    return folder / f"{folder.name}_full.wav"


def segments_of(source, engine, dialogue):
    """The paths of the turns' files, in order."""
    return sorted((text_of(source, engine, dialogue).with_suffix("") / "segments").glob("*"))


def joined(texts, clips, rate=RATE):
    """The clips with the published silences after them."""
    silences = [rate // 5 if text.endswith("?") else rate * 3 // 10 for text in texts[:-1]] + [rate // 2]
    return np.concatenate(
        [
            part
            for clip, silence in zip(clips, silences, strict=True)
            for part in (clip, np.zeros(silence, np.int16))
        ]
    )


def publish(source, dialogue, engines=ENGINES, *, clips=None, rate=RATE, **keys):
    """Writes one dialogue as it is published.

    Args:
        source: the folder.
        dialogue: an id; it says the domain and the number of turns.
        engines: which spoke it.
        clips: in place of noise.
        rate: of the recordings, in hertz.
        keys: of the JSON, in place of those that belong there.
    """
    name = dialogue.partition("/")[2]
    domain, _, num_turns = name.rsplit("_", 2)
    turns = [TURNS[position % len(TURNS)] for position in range(int(num_turns))]
    conversation = [{"speaker": turn[0], "text": turn[1], "emotion": turn[2]} for turn in turns]
    published = {
        "domain": domain.replace("_", " "),
        "timestamp": "2025-03-16 19:07:20",
        "model1": LLAMA,
        "model2": QWEN,
        "conversation": conversation,
    } | keys
    texts = [turn["text"] for turn in published["conversation"]]
    for number, engine in enumerate(engines):
        path = text_of(source, engine, dialogue)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(published, indent=2, ensure_ascii=False), encoding="utf-8")
        sounds = clips or [
            noise([number, *name.encode(), position], 800 + 100 * position) for position in range(len(texts))
        ]
        for position, (turn, sound) in enumerate(zip(turns, sounds, strict=True), start=1):
            write(path.with_suffix("") / "segments" / f"{position:03d}_{turn[0]}_{turn[3]}.wav", sound, rate)
        write(full_of(source, engine, dialogue), joined(texts, sounds, rate), rate)


def rows_of(dialogue, **columns):
    """A dialogue of `publish` as the published Parquet has it: a row for each turn.

    Args:
        dialogue: an id.
        columns: of every row, in place of those that belong there.
    """
    pairing, _, stem = dialogue.partition("/")
    domain, _, num_turns = stem.rsplit("_", 2)
    return [
        {
            "conversation_id": stem,
            "model_dir": f"dialogues_{pairing}",
            "turn_index": position,
            "speaker": turn[0],
            "text": turn[1],
            "domain": domain.replace("_", " "),
            "emotion": turn[2],
        }
        | columns
        for position, turn in enumerate(TURNS[: int(num_turns)])
    ]


def edit(path, change):
    """Changes a JSON file."""
    published = json.loads(path.read_text(encoding="utf-8"))
    change(published)
    path.write_text(json.dumps(published), encoding="utf-8")
