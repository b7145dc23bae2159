"""What `push` promises of what lies beside the card: figures go with their version, and change as it does."""

import hashlib

import msgspec
import pytest

from builder.dataset import Document, read_manifest, write_manifest
from builder.validation import validate
from tests.commands import tree
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
