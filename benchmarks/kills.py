"""Kills: a build is killed again and again by `kill -9`, beside servers that count what they answered.

    python -m benchmarks.kills [--kills 100] [--dialogues 40] [--seed 0]

One reply and one verdict in four are bad, so that they are asked for again. Every other kill comes while the servers answer
nothing and the client has slept for a while, so that it had all that was sent to it; the others at any moment, when what was
sent within the last tenth of a second may be in flight.
Law of the file: a call that was answered and is asked for again is an error, and so is another dataset.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.killed import IN_FLIGHT_S, killed


def main() -> None:
    """Prints what the servers counted, and whether the dataset is that of a build that was not killed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills")
    parser.add_argument("--kills", type=int, default=100, help="%(default)s")
    parser.add_argument("--dialogues", type=int, default=40, help="%(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    options = parser.parse_args()
    begin_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        found = killed(Path(name), options.kills, options.dialogues, options.seed)
    print(
        f"\nkills  {found.kills} kills, {found.at_rest} of them at rest, {time.monotonic() - begin_s:.0f} s"
    )
    print(f"{found.asked:8,} calls asked, {found.answered:,} answered, {found.rejected:,} with a bad answer")
    print(f"{found.repeated:8,} of those answered were asked again")
    print(f"{found.in_flight:8,} were in flight: sent within {IN_FLIGHT_S:g} s before a kill at any moment")
    print(f"{found.given_up:8,} dialogues given up")
    print("the same dataset as without kills" if found.same else "ANOTHER DATASET than without kills")
    sys.exit(found.repeated > 0 or not found.same)


if __name__ == "__main__":
    main()
