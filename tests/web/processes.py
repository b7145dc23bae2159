"""Pages' servers."""

import re
import time

from tests.patience import PATIENCE_S
from tests.processes import Verb, environment


class Served:
    """A page's server: its `address` and `port`, and all that it `said`.

    Args:
        arguments: the verb's.
        cwd: where it is started.
        accounts: those who may log in.
        log: a file for what it says.
    """

    def __init__(self, arguments, cwd, accounts, log):
        variables = environment() | ({"DEEPDIALOGUE_ANNOTATORS": accounts} if accounts else {})
        self._log = log
        with log.open("a") as said:
            self._process = Verb(arguments, cwd, variables, said)
        end = time.monotonic() + PATIENCE_S
        while not (match := re.search(r"http://\S+:(\d+)", self.said)):
            assert self._process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.01)
        self.address, self.port = match[0], int(match[1])

    @property
    def said(self):
        return self._log.read_text()

    def kill(self):
        self._process.kill()

    def stopped(self):
        """Asks it to stop; its exit status."""
        self._process.terminate()
        return self._process.wait()
