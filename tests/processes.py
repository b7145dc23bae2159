"""Verbs as processes of their own that start at once: they are forked off one that has imported what takes seconds."""

import atexit
import gc
import multiprocessing
import os
import sys
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import TimeoutExpired
from unittest import mock

import builder
from tests.patience import PATIENCE_S

_FORKING = multiprocessing.get_context("forkserver")
_IMPORTED = (
    "pytest",
    "datasets",
    "s3fs",
    "pyloudnorm",
    "espeakng_loader",
    "charset_normalizer",
    "rensa",
    "builder.__main__",
    "builder.stages._mastering",
    "builder.pipeline.places",
    "builder.commands._dialogue",
    "builder.commands._views",
    "builder.run.site",
    "builder.run.recorder",
    "builder.dataset.validation",
    "builder.plugins.llm.rehearsal",
    "builder.plugins.tts.espeak",
    "builder.people.pages.annotate",
    "builder.people.pages.explore",
    "builder.people.pages.listen",
    *(
        f"builder.{kind}.{module.stem}".replace("/", ".")
        for kind in ("plugins/checks", "commands", "plugins/judges", "stages")
        for module in sorted((Path(builder.__file__).parent / kind).glob("[!_]*.py"))
    ),
)


class Verb:
    """A verb that runs; it has what tests use of `subprocess.Popen`. What it packages has no figures: to draw takes seconds.

    Args:
        arguments: the verb and its own.
        cwd: where it is started.
        variables: all of its environment.
        out: a file that takes what it prints; None keeps it for `communicate`.
        err: a file that takes what it says; None lets it go with `out`.
        do: a function of a module, which takes the arguments in the place of the command line.
    """

    def __init__(self, arguments, cwd, variables, out=None, err=None, do=None):
        self.args = [*map(str, arguments)]
        self.stdout, writer = None, None
        if out is None:
            reader, writer = os.pipe()
            self.stdout, out = os.fdopen(reader), writer
        with mock.patch.dict(os.environ, environment(), clear=True):
            _FORKING.set_forkserver_preload([__name__, *_IMPORTED])
            forkserver.ensure_running()
        files = [
            Connection(os.dup(file if isinstance(file, int) else file.fileno())) for file in (out, err or out)
        ]
        self._process = _FORKING.Process(target=_do, args=(do, self.args, cwd, variables, *files))
        self._process.start()
        self.pid = self._process.pid
        for file in files:
            file.close()
        if writer is not None:
            os.close(writer)

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self.returncode

    def wait(self, timeout=PATIENCE_S):
        self._process.join(timeout)
        if self.returncode is None:
            self.kill()
            raise TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self):
        """What it printed and said, once it has ended, and nothing."""
        said = None
        if self.stdout and not self.stdout.closed:
            with self.stdout:
                said = self.stdout.read()
        self.wait()
        return said, None

    def send_signal(self, number):
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self):
        self._process.kill()
        self._process.join()

    def terminate(self):
        self._process.terminate()


def environment():
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "HOME", "LANG", "TMPDIR"} or name.startswith("MALLOC_")
    }
    return kept | {"HF_HUB_OFFLINE": "1", "COLUMNS": "120"}


def _do(do, arguments, cwd, variables, out, err):
    from builder.__main__ import main
    from builder.evidence import gallery

    gc.freeze()  # else the collector goes through all that was imported, and so copies it
    gallery.LIBRARY = "no_such_library"
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    # The old ones know whether what they wrote to was a file, a pipe or a terminal.
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    try:
        sys.exit((do or main)(arguments))
    finally:
        atexit._run_exitfuncs()
