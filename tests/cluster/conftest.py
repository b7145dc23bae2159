"""Ray on this machine: a head of its own for the tests, and the command line beside it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.commands import environment
from tests.patience import PATIENCE_S
from tests.servers.s3 import KEYS, S3

RAY = Path(sys.executable).with_name("ray")


class Head:
    """A cluster on this machine, and an environment in which the command line finds it.

    Args:
        ip: of the head's node.
        within: what commands are run by, such as a network namespace.
        more: environment variables.
    """

    def __init__(self, ip="127.0.0.1", within=(), **more):
        self.place = Path(tempfile.mkdtemp(prefix="dd"))  # short, for the names of sockets are
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.ip, self.address, self._within = ip, f"{ip}:{port}", within
        self._nodes = []
        self.environment = environment() | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
            "DEEPDIALOGUE_SCRATCH": str(self.place / "scratch"),
            **more,
        }

    def start(self, cpus=2):
        port = self.address.partition(":")[2]
        least = ("--include-dashboard=false", "--no-monitor")
        self._start(self._within, "--head", f"--port={port}", *least, ip=self.ip, cpus=cpus)

    def join(self, ip, within, cpus):
        """Another node, with a scratch folder of its own."""
        self._start(
            within, f"--address={self.address}", ip=ip, cpus=cpus, scratch=str(self.place / "scratch2")
        )

    def _start(self, within, *options, ip, cpus, scratch=None):
        usual = [f"--node-ip-address={ip}", f"--num-cpus={cpus}", "--object-store-memory=80000000"]
        # What the log monitor gathers is not read, and it is one more interpreter.
        usual.append("--include-log-monitor=false")
        node = subprocess.Popen(
            [*within, RAY, "start", "--block", *options, *usual, f"--temp-dir={self.place / 'r'}"],
            env=self.environment | ({"DEEPDIALOGUE_SCRATCH": scratch} if scratch else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )
        self._nodes.append(node)
        said = []
        for line in node.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return
        raise RuntimeError("".join(said))

    def kill(self):
        """Nothing of it is left, at once."""
        for node in self._nodes:
            node.kill()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if str(self.place).encode() in path.read_bytes():
                    os.kill(int(path.parent.name), signal.SIGKILL)
        for node in self._nodes:
            node.communicate()
        self._nodes.clear()

    def close(self):
        self.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    def begin(self, *arguments, cwd):
        """Starts one verb and does not wait."""
        return subprocess.Popen(
            [*self._within, sys.executable, "-m", "builder", *map(str, arguments)],
            cwd=cwd,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, cwd):
        """Runs one verb to its end."""
        return ended(self.begin(*arguments, cwd=cwd))

    def at_work(self):
        """The processes that work on parts: those that hold the lock of one."""
        inodes = {str(path.stat().st_ino) for path in self.place.glob("scratch*/*/*.lock")}
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return [
            int(fields[4]) for fields in locks if "FLOCK" in fields and fields[5].split(":")[-1] in inodes
        ]


def ended(process):
    """How a verb ended."""
    output, errors = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@pytest.fixture(scope="session")
def s3():
    with S3() as server:
        yield server


@pytest.fixture(scope="session")
def head(s3):
    pytest.importorskip("ray", reason="Ray, of the extra ray, is not installed")
    one = Head(AWS_ENDPOINT_URL=s3.url, **KEYS)
    try:
        one.start()
        yield one
    finally:
        one.close()
