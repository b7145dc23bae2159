"""What `push` promises of what lies beside the card: figures go with their version, and croissant.json tells which it is."""

import asyncio
import hashlib
import json
import warnings
from datetime import UTC, date, datetime

import msgspec
import pytest

from builder.__main__ import main
from builder.dataset.croissant import with_version, without_version
from builder.dataset.manifest import Document, read_manifest, write_manifest
from builder.dataset.validation import validate
from builder.hub import push as pushing
from builder.stages.package import package
from tests.commands import tree
from tests.heard import heard
from tests.releases import dataset

# How huggingface_hub hands a file to its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def version(tmp_path):
    """Writes a version of text alone with these documents, as packaging does."""

    def version(name, contents):
        folder = dataset(tmp_path / name / "small", configs=("text-only",))
        for path, content in contents.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
        documents = tuple(
            Document(path=path, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for path, content in contents.items()
        )
        write_manifest(folder, msgspec.structs.replace(read_manifest(folder), documents=documents))
        return folder

    return version


def published(hub):
    files = hub.tree("lab/speech")
    return {path: files[path] for path in files if path.startswith("figures/")}


def test_figures_are_published_with_their_version_replaced_when_drawn_anew_and_deleted_when_gone(
    hub, push, version
):
    first = {"figures/emotions.png": b"\x89PNG first", "figures/turns.png": b"\x89PNG turns"}
    folder = version("first", first)
    assert validate(folder) == []
    status, said = push(folder)
    assert status == 0, said
    assert published(hub) == first
    second = {"figures/emotions.png": b"\x89PNG second"}
    status, said = push(version("second", second))
    assert status == 0, said
    assert published(hub) == second
    assert hub.repos["lab/speech"].tags.keys() == {"v1.0.0", "v1.0.1"}, "no dialogue changed: a patch"


def test_a_figure_that_is_damaged_or_not_listed_is_never_published(hub, push, version):
    folder = version("small", {"figures/turns.png": b"\x89PNG turns"})
    before = tree(folder)
    (folder / "figures/turns.png").write_bytes(b"\x89PNG other")
    status, said = push(folder)
    assert (status, "figures/turns.png: its checksum is not the manifest's" in said) == (1, True)
    (folder / "figures/turns.png").write_bytes(before["figures/turns.png"])
    (folder / "figures/mine.png").write_bytes(b"\x89PNG mine")
    status, said = push(folder)
    assert (status, "figures/mine.png: not in the manifest" in said) == (1, True)
    assert not hub.repos


@pytest.fixture
def packaged(tmp_path):
    """A folder as the packager leaves it."""
    with heard(tmp_path / "run") as run:
        asyncio.run(package(run))
        return run.out


def fetched(hub, folder, revision="main"):
    for path, content in hub.tree("lab/speech", revision).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def described(hub, revision="main"):
    return json.loads(hub.tree("lab/speech", revision)["croissant.json"])


def test_croissant_tells_the_version_and_its_day_and_the_reference_reader_wants_nothing_more(
    hub, push, packaged, tmp_path
):
    croissant = pytest.importorskip("mlcroissant", reason="mlcroissant, of the extra test, is not installed")
    before = tree(packaged)
    began = datetime.now(UTC).date()
    status, said = push(packaged, "--rehearsal")
    assert status == 0, said
    assert tree(packaged) == before
    found = described(hub)
    assert found["version"] == "1.0.0"
    assert began <= date.fromisoformat(found["datePublished"]) <= datetime.now(UTC).date()
    copy = fetched(hub, tmp_path / "fetched")
    assert validate(copy) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that it stands on
        issues = croissant.Dataset(str(copy / "croissant.json")).metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())


def test_the_day_alone_is_no_difference(hub, push, packaged, tmp_path, monkeypatch, capsys):
    push(packaged, "--rehearsal")
    monkeypatch.setattr(pushing, "datetime", Later)
    copy = fetched(hub, tmp_path / "fetched")
    for folder in (packaged, copy):
        assert "holds just this as v1.0.0: nothing to publish" in push(folder, "--rehearsal")[1]
    assert main(["diff", str(packaged), str(copy)]) == 0
    assert capsys.readouterr().out.endswith("are the same\n")


def test_the_next_version_has_its_own_number_and_day_and_the_last_keeps_its_own(
    hub, push, packaged, monkeypatch
):
    push(packaged, "--rehearsal")
    first = described(hub)
    monkeypatch.setattr(pushing, "datetime", Later)
    card = packaged / "README.md"
    card.write_text(card.read_text().replace("## Cite", "More is said.\n\n## Cite"))
    digest = hashlib.sha256(card.read_bytes()).hexdigest()
    write_manifest(packaged, msgspec.structs.replace(read_manifest(packaged), card_sha256=digest))
    status, said = push(packaged, "--rehearsal")
    assert status == 0, said
    told = {"version": "1.0.1", "datePublished": "2999-12-31"}
    assert described(hub, "v1.0.1") == first | told
    assert described(hub, "v1.0.0") == first


def test_what_was_proposed_on_another_day_is_not_proposed_again(hub, push, packaged, monkeypatch):
    hub.create("lab/speech")
    said = [push(packaged, "--rehearsal", "--pull-request")[1]]
    monkeypatch.setattr(pushing, "datetime", Later)
    said.append(push(packaged, "--rehearsal", "--pull-request")[1])
    assert all(f"{hub.url}/datasets/lab/speech/discussions/1\n" in one for one in said)
    assert len(hub.repos["lab/speech"].pulls) == 1


class Later(datetime):
    """A clock that is far ahead."""

    @classmethod
    def now(cls, tz=None):
        return cls(2999, 12, 31, tzinfo=tz)


def test_a_version_is_written_into_croissant_once_and_taken_out_without_a_trace(packaged):
    plain = (packaged / "croissant.json").read_bytes()
    once = with_version(plain, "1.0.0", date(2026, 1, 2))
    assert json.loads(once) == json.loads(plain) | {"version": "1.0.0", "datePublished": "2026-01-02"}
    again = with_version(once, "1.1.0", date(2026, 3, 4))
    assert json.loads(again)["version"] == "1.1.0"
    assert without_version(again) == without_version(plain) == plain
