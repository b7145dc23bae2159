"""A real browser, and a page's server as the process that a user starts."""

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import pytest

from tests.commands import environment, kill

ACCOUNTS = "anna:correct-horse ben:battery-staple cora:trombone-cloud dan:velvet-anchor"
PASSWORDS = dict(account.split(":") for account in ACCOUNTS.split())
# What a handler does to a page is there within this, or the test has failed; nothing waits for so long.
PATIENCE_MS = 15_000


@pytest.fixture(scope="module")
def browser():
    """Chromium. While it is open, `asyncio.run` is refused in this thread: playwright's own loop runs there."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the pages")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def people(browser):
    """Opens a browser of somebody's own, with no memory of the others'; `requests` notes the addresses it asks for."""
    contexts = []

    def person():
        context = browser.new_context()
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.requests = []
        context.on("request", lambda request: page.requests.append(request.url))
        return page

    yield person
    for context in contexts:
        context.close()


@pytest.fixture
def page(people):
    return people()


class Served:
    """A page's server: its `process`, its `address`, and `said`, its first line."""

    def __init__(self, arguments, cwd, accounts):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "builder", *map(str, arguments)],
            cwd=cwd,
            env=environment() | ({"DEEPDIALOGUE_ANNOTATORS": accounts} if accounts else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if match := re.search(r"http://\S+:(\d+)", line):
                self.address, self.port = match[0], int(match[1])
                return
        self.process.wait()
        self.process.stdout.close()
        raise AssertionError(self.said)


@contextmanager
def served(*arguments, cwd, port=0, accounts=ACCOUNTS):
    """Starts a verb that serves a page, on a free port or on one that is named; gives it once it listens."""
    served = Served((*arguments, "--port", port), cwd, accounts)
    try:
        yield served
    finally:
        kill(served.process)


@pytest.fixture
def serving(tmp_path):
    """`served` in a folder of the test's own."""
    return partial(served, cwd=tmp_path)


def log_in(page, address, name, password=None):
    """Logs somebody in, and waits for what comes next: the page, or the door again."""
    page.goto(address)
    page.fill("[name=name]", name)
    page.fill("[name=password]", password or PASSWORDS[name])
    page.click("button")
    page.wait_for_load_state()
