"""Twins of a shared run: what judges must know of all dialogues together, found once for whoever judges a part.

Law of the file: of the same dialogues the same twins are found, by whom is no matter.
"""

import hashlib

from builder.records import encode
from builder.run.folder import Run
from builder.run.share import Share
from builder.stages.judge import twins_of


def find(share: Share, run: Run) -> str:
    """The name of the object in the share that holds the twins of all dialogues, by judge; it is made if need be.

    Args:
        share: where it is.
        run: a view of the share, of all its parts.
    """
    ids = "\n".join(sorted(run.dialogues.ids()))
    name = f"twins/{hashlib.sha256(ids.encode()).hexdigest()}.json"
    if share.read(name) is None:
        judges = run.plugins.judges()
        share.create(name, encode({one: twins_of(run, one, judge) for one, judge in judges.items()}))
    return name
