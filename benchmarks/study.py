"""The studies and sites that are measured: the shipped vocabulary, prompts and judges, and a plan of any size.

Law of the file: what differs from the paper's study is its plan and nothing else.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.config import resources


def study(
    folder: Path,
    *,
    dialogues_per_cell: int,
    domains: Sequence[str],
    pairings: Sequence[str] | None = None,
    turns: tuple[int, int] = (3, 10),
) -> Path:
    """Writes a study without speech.

    Args:
        folder: where.
        dialogues_per_cell: for each domain of each pairing.
        domains: by name.
        pairings: by name; None for all sixteen.
        turns: the fewest and the most.
    """
    configs = resources("configs")

    def file(name: str) -> str:
        return f"{{ file = {json.dumps(str(configs / name))} }}"

    selected = "" if pairings is None else f"pairings = {json.dumps(list(pairings))}\n"
    path = folder / "study.toml"
    path.write_text(
        'name = "bench"\ntitle = "Benchmark"\nseed = 2505\nlicence = "cc0-1.0"\n'
        f"vocabulary = {file('vocabularies/deepdialogue.toml')}\n"
        f"script = {file('prompts/script.toml')}\n"
        f"judges = {file('prompts/judges.toml')}\n"
        f"[plan]\ndialogues_per_cell = {dialogues_per_cell}\ndomains = {json.dumps(list(domains))}\n{selected}"
        f"turns = {{ min = {turns[0]}, max = {turns[1]} }}\n"
    )
    return path


def site(folder: Path, models: Mapping[str, Sequence[Mapping[str, object]]]) -> Path:
    """Writes a site: for each model the settings of each of its replicas."""
    path = folder / "site.toml"
    path.write_text(
        "".join(
            (f'[[models."{name}"]]\n' if len(replicas) > 1 else f'[models."{name}"]\n')
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
            for name, replicas in models.items()
            for settings in replicas
        )
    )
    return path
