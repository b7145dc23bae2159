"""Verbs as processes of their own that start at once: they are forked off one that has imported what takes seconds."""

import multiprocessing
import os
import re
import sys
import time
from multiprocessing import forkserver
from unittest import mock

from tests.commands import environment

_FORKING = multiprocessing.get_context("forkserver")
_PAGES = ("builder.web.annotate", "builder.web.explore", "builder.web.listen")
_PATIENCE_S = 60


def done(*arguments, cwd):
    """Runs a verb to its end, without the figures of a dataset: drawing takes seconds."""
    log = cwd / f"said-{arguments[0]}"
    process = _forked(arguments, cwd, environment(), log)
    process.join()
    assert process.exitcode == 0, log.read_text()


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
        self._process = _forked(arguments, cwd, variables, log)
        end = time.monotonic() + _PATIENCE_S
        while not (match := re.search(r"http://\S+:(\d+)", self.said)):
            assert self._process.is_alive(), self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.01)
        self.address, self.port = match[0], int(match[1])

    @property
    def said(self):
        return self._log.read_text() if self._log.exists() else ""

    def kill(self):
        self._process.kill()
        self._process.join()

    def stopped(self):
        """Asks it to stop; its exit status."""
        self._process.terminate()
        self._process.join(_PATIENCE_S)
        return self._process.exitcode


def _forked(arguments, cwd, variables, log):
    with mock.patch.dict(os.environ, environment(), clear=True):
        _FORKING.set_forkserver_preload(["pytest", __name__, *_PAGES])
        forkserver.ensure_running()
    process = _FORKING.Process(target=_do, args=([*map(str, arguments)], cwd, variables, log))
    process.start()
    return process


def _do(arguments, cwd, variables, log):
    from builder import gallery
    from builder.__main__ import main

    gallery.LIBRARY = "no_such_library"
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    sys.exit(main(arguments))
