"""A real browser, and a page's server as the process that a user starts."""

import shutil
from contextlib import contextmanager
from functools import partial
from itertools import count

import pytest

from tests.commands import REHEARSAL, deepdialogue, site, study
from tests.patience import PATIENCE_S
from tests.web.processes import Served

ACCOUNTS = "anna:correct-horse ben:battery-staple cora:trombone-cloud dan:velvet-anchor elm:copper-lantern"
PASSWORDS = dict(account.split(":") for account in ACCOUNTS.split())


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


@pytest.fixture(scope="module")
def windows(browser):
    """Contexts that tests use one after the other, so that what a page loads is loaded once."""
    contexts = []
    yield contexts
    for context in contexts:
        context.close()


@pytest.fixture
def people(browser, windows):
    """Opens a window of somebody's own, logged in nowhere; `requests` notes the addresses that its page asks for."""
    used = count()

    def person():
        if (number := next(used)) == len(windows):
            windows.append(browser.new_context())
            windows[number].set_default_timeout(1000 * PATIENCE_S)
        page = windows[number].new_page()
        page.requests = []
        page.on("request", lambda request: page.requests.append(request.url))
        return page

    yield person
    for context in windows:
        for page in context.pages:
            page.close()
        context.clear_cookies()


@pytest.fixture
def page(people):
    return people()


@contextmanager
def served(*arguments, cwd, port=0, accounts=ACCOUNTS):
    """Starts a verb that serves a page, on a free port or on one that is named; gives it once it listens."""
    number = next(number for number in count() if not (cwd / f"said-{number}").exists())
    server = Served((*arguments, "--port", port), cwd, accounts, cwd / f"said-{number}")
    try:
        yield server
    finally:
        server.kill()


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


@pytest.fixture(scope="session")
def rehearsed(tmp_path_factory):
    """A folder with a rehearsed run of four dialogues, each spoken twice; only to be read."""
    folder = tmp_path_factory.mktemp("rehearsed")
    plan, where = study(folder), site(folder, REHEARSAL)
    for verb in (("plan", plan), ("generate",), ("judge",), ("synthesize",)):
        done = deepdialogue(*verb, "--run", "run", "--site", where, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder
