"""The published text as rows: one turn a row, in Parquet, with what was handed to the engine to be spoken.

The repositories hold such a file beside the texts in JSON, with more columns than are read here. What was spoken is not always
what was written: in about 2 % of LLM1's turns it is another turn, in some hundred an altered one.
Law of the file: a row is never mended, and a Parquet file of another kind is none of ours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builder.errors import SourceError, first_line
from builder.hub.address import FOLDER

_NEEDED = ("conversation_id", "model_dir", "turn_index", "speaker", "text", "domain", "emotion")
_SPOKEN = ("audio_substituted_text", "audio_original_text")
"""What was handed to the engine, after names were replaced in it and before."""
_MORE = ("timestamp", "model1", "model2")


class Rows:
    """The text of one repository in rows; there may be none.

    Args:
        paths: Parquet files, of which some may hold something else.

    Raises:
        SourceError: a file is damaged.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.foreign: dict[str, list[str]] = {}
        """The files that hold something else, each with the columns it lacks."""
        self._places: dict[str, tuple[Any, int, int]] = {}
        """By id: its table, its first row, and how many it has."""
        for path in paths:
            self.read(path)

    def read(self, path: Path) -> None:
        """Takes the rows of one more file in.

        Raises:
            SourceError: it is damaged; then what was read before is as it was.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        try:
            names = pq.read_schema(path).names
            if lacking := [name for name in _NEEDED if name not in names]:
                self.foreign[path.name] = lacking
                return
            table = pq.read_table(path, columns=[*_NEEDED, *sorted({*_SPOKEN, *_MORE} & {*names})])
            pairing = pc.replace_substring_regex(table["model_dir"], f"^{FOLDER}", "")
            ids = pc.binary_join_element_wise(pairing, table["conversation_id"], "/")
            table = table.append_column("id", ids).sort_by([("id", "ascending"), ("turn_index", "ascending")])
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{path}: not whole rows of text ({first_line(error)}): fetch it again"
            ) from None
        for place, id in enumerate(table["id"].to_pylist()):
            held, first, count = self._places.get(id, (table, place, 0))
            if held is table:  # of a dialogue that two files have the first file's rows count
                self._places[id] = table, first, count + 1

    def __contains__(self, id: object) -> bool:
        return id in self._places

    def text(self, id: str) -> dict[str, Any]:
        """A dialogue with the keys of the published JSON; of `model1` and `model2` those that there is a column for."""
        rows = self._rows(id)
        turns = [{key: row[key] for key in ("speaker", "text", "emotion")} for row in rows]
        more = {key: rows[0][key] for key in _MORE if rows[0].get(key) is not None}
        return {"timestamp": None, "domain": rows[0]["domain"], **more, "conversation": turns}

    def spoken(self, id: str) -> list[str | None]:
        """What was handed to the engine for each turn, in order; None where no column says it, nothing where there is no row."""
        return [next((row[key] for key in _SPOKEN if row.get(key)), None) for row in self._rows(id)]

    def _rows(self, id: str) -> list[dict[str, Any]]:
        if id not in self._places:
            return []
        table, first, count = self._places[id]
        rows: list[dict[str, Any]] = table.slice(first, count).to_pylist()
        return rows
