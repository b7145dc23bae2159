"""A packaged folder -> one commit and one tag on the Hub, or nothing that anybody sees.

    plan        looks at the folder and the Hub, and says what would change and which version it is
    publish     uploads what is new, commits once, and tags

What is uploaded is the folder as it is, but for its card and manifest, which tell of the versions so far and of this one, and its
croissant.json, which has this one's number and day. The
folder itself is not changed, so that packaging the same again stays nothing to do. A run that was cut off is run again: what the
Hub holds of the uploads is not sent twice, a commit that has no tag yet gets it, and the next one begins where the last stands.
Law of the file: a version is decided from the difference alone, never overwritten, and never seen before it is whole.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import CommitOperationAdd

from builder.config import TEXT_ONLY, TURNS
from builder.core.licence import contradiction
from builder.core.markdown import line
from builder.core.version import FIRST, Release, Step, Version, with_versions
from builder.dataset.croissant import PATH as CROISSANT
from builder.dataset.croissant import with_version
from builder.dataset.manifest import CARD, MANIFEST, Document, Manifest, file_sha256, strays, written
from builder.dataset.validation import claims, validate
from builder.errors import DatasetError, ReleaseError, first_line
from builder.files import put
from builder.hub.difference import Difference, difference, new_bytes
from builder.hub.repository import File, Repository
from builder.hub.snapshot import Snapshot, of_commit, of_folder
from builder.remote.hub import blob_id
from builder.terminal import bar

_BATCH_BYTES = 2**30
_MB = 10**6
_PROPOSALS = 20
"""How many pull requests are looked at, the newest ones."""


class Options(NamedTuple):
    """What is asked for beside folder and repository."""

    version: Version | None = None
    """None takes the one that the difference asks for."""
    branch: str = "main"
    pull_request: bool = False
    public: bool = False
    """Whether a repository that is made now is public; one that is there stays as it is."""
    rehearsal: bool = False
    """Whether a rehearsal may be published."""
    message: str | None = None
    """Below the title of the commit; None puts the changes there."""
    trust_audio: bool = False
    """Whether clips are not decoded before: checksums, card and places of files are looked at in any case."""


class Plan(NamedTuple):
    """What a push would do."""

    folder: Path
    local: Snapshot
    repository: Repository
    options: Options
    parent: str | None
    """The commit that the branch stands at, or begins at; None where there is no repository yet."""
    begins: bool
    """Whether the branch is made now."""
    versions: tuple[Release, ...]
    """Those that the branch would hold, this one last."""
    known: bool
    """Whether it holds just that already."""
    against: Difference | None
    """How it differs from what the branch holds; None where it holds no version, or this one."""
    untagged: str | None
    """The tag that is owed to the branch, for a push that ended just before it."""
    uploads: dict[str, Path | bytes]
    """Files that the branch lacks or holds otherwise, by path."""
    new_bytes: int
    """Of these, about what the Hub does not hold anywhere."""
    fresh: tuple[str, ...]
    """Of these, the ones that it lacks."""
    deleted: tuple[str, ...]
    edited: tuple[str, ...]
    """Files that somebody changed on the Hub since the last version."""

    @property
    def release(self) -> Release:
        """This one."""
        return self.versions[-1]

    @property
    def version(self) -> Version:
        """The number."""
        return Version.parse(self.release.version)

    def size(self, path: str) -> int:
        """Bytes of an upload."""
        content = self.uploads[path]
        return len(content) if isinstance(content, bytes) else self.local.files[path].num_bytes

    @property
    def num_bytes(self) -> int:
        """Of the uploads."""
        return sum(map(self.size, self.uploads))


def plan(folder: Path, repository: Repository, options: Options) -> Plan:
    """Decides what a push would do. It changes nothing, here or there.

    Raises:
        DatasetError: the folder is no packaged dataset.
        ReleaseError: it may not be published, its version is taken, or the Hub does not answer.
    """
    local = of_folder(folder)
    _refuse_unfit(folder, local, options, repository.name)
    refs = repository.refs()
    sha = refs.branches.get(options.branch, refs.branches.get("main"))
    remote = repository.files(sha) if sha else {}
    published = None
    if sha and MANIFEST in remote:
        published = of_commit(repository, sha, f"{repository.name}@{options.branch}")
    _refuse_foreign(repository.name, remote, published)
    source = _source(local)
    last = published.release if published else None
    known = last is not None and last.source == source
    against = difference(published, local) if published and not known else None
    releases = published.manifest.versions if published else ()
    if last is None or not known:
        version, step, changes = _next(local, published, against, options.version)
        if version.tag in refs.tags:
            raise ReleaseError(
                f"{repository.name}: {version} exists with other content, and a version never changes: name a later one "
                f"with --version"
            )
        last = Release(version=str(version), step=step, changes=changes, source=source)
        releases = (*releases, last)
    elif options.version not in {None, Version.parse(last.version)}:
        raise ReleaseError(
            f"{repository.name}: {options.branch} holds just this as {last.version}: there is nothing to publish as "
            f"{options.version}"
        )
    whole = _whole(local, repository.name, releases, datetime.now(UTC).date())
    edited = _edited(published, remote) if published else ()
    owed = published.version if published and not edited else None
    uploads = {
        path: content for path, content in whole.items() if not _is(remote.get(path), local, path, content)
    }
    sent = {path: local.files[path].num_bytes for path in uploads if path in local.files}
    return Plan(
        folder=folder,
        local=local,
        repository=repository,
        options=options,
        parent=sha,
        begins=options.branch not in (refs.branches or {"main"}),
        versions=releases,
        known=known,
        against=against,
        untagged=owed.tag if owed and owed.tag not in refs.tags else None,
        uploads=uploads,
        new_bytes=0 if known else new_bytes(published, local, sent),
        fresh=tuple(path for path in uploads if path not in remote),
        deleted=tuple(
            sorted(path for path in remote if published and path in published.files and path not in whole)
        ),
        edited=edited,
    )


def publish(plan: Plan) -> str:
    """Does what was planned.

    Returns:
        Where to look at it.

    Raises:
        ReleaseError: the dataset has a fault, or the Hub refused, moved or does not answer; then nothing is published.
    """
    repository, options = plan.repository, plan.options
    if plan.untagged or not plan.known:
        repository.writer()
    # Whoever only proposes a version may have no right to tag the one before.
    if plan.untagged and plan.parent and (plan.known or not options.pull_request):
        repository.tag(plan.untagged, plan.parent)
    if plan.known:
        return f"{repository.address}/tree/{plan.version.tag}"
    _refuse_faulty(plan.folder, options)
    if plan.parent is None:
        repository.create(private=not options.public)
    parent = plan.parent or repository.refs().branches["main"]
    if plan.begins:
        repository.branch(options.branch, parent)
    if options.pull_request and (ref := _proposed(plan)):
        return f"{repository.address}/discussions/{ref.rpartition('/')[2]}"

    def went_through() -> str | None:
        ref = _proposed(plan) if options.pull_request else options.branch
        sha = repository.refs().all.get(ref)
        return sha if sha and _holds(repository, sha, plan.versions) else None

    sha = repository.commit(
        _uploaded(plan),
        plan.deleted,
        branch=options.branch,
        parent=parent,
        title=f"Version {plan.version}",
        message=options.message or "\n".join(f"- {line(change)}" for change in plan.release.changes),
        went_through=went_through,
        pull_request=options.pull_request,
    )
    if options.pull_request:
        return f"{repository.address}/discussions/{_proposed(plan).rpartition('/')[2]}"
    repository.tag(plan.version.tag, sha)
    return f"{repository.address}/tree/{plan.version.tag}"


def _refuse_unfit(folder: Path, local: Snapshot, options: Options, name: str) -> None:
    """What can be told of a folder at once: that it must not be published as it is."""
    script = folder / _script(name)
    if script.exists():
        raise ReleaseError(
            f"{script}: a file of the repository's name breaks `datasets` 4 and 5: take it out"
        )
    for path in strays(folder, local.manifest, hidden=False):
        raise ReleaseError(
            f"{path}: not in the manifest: take it out, for readers take every file of a split"
        )
    for denied in claims(folder, local.manifest):
        raise ReleaseError(f"{denied}: package it again; nothing was published")
    if local.manifest.rehearsal and not options.rehearsal:
        raise ReleaseError(
            f"{folder} is a rehearsal: stand-ins took part, and it is not training data; --rehearsal publishes it as one"
        )
    licence = local.metadata.get("license", "")
    if fault := contradiction(str(licence), *_voices(folder, local)):
        raise ReleaseError(
            f"{folder}: {fault}: set the study's licence to one for non-commercial use, such as 'cc-by-nc-4.0', and "
            f"package again"
        )


def _voices(folder: Path, local: Snapshot) -> tuple[set[str], set[str]]:
    """Every engine that spoke, and every voice."""
    engines, voices = set[str](), set[str]()
    for shard in local.manifest.shards:
        if shard.config not in local.manifest.spoken:
            continue
        try:
            table = pq.read_table(folder / shard.path, columns=["engine", "first_voice", "second_voice"])
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"{folder / shard.path}: cannot be read: {first_line(error)}") from None
        engines.update(table["engine"].unique().to_pylist())
        for name in ("first_voice", "second_voice"):
            voices.update(table[name].unique().to_pylist())
    return engines, voices


def _refuse_foreign(name: str, remote: Mapping[str, File], published: Snapshot | None) -> None:
    """What lies on the Hub and would be taken for a part of the dataset, or hide it."""
    if (script := _script(name)) in remote:
        raise ReleaseError(
            f"{name} holds {script}, which breaks it for `datasets` 4 and 5: delete it there first"
        )
    own = published.files if published else {}
    for path in remote:
        if path.endswith(".parquet") and path not in own:
            raise ReleaseError(
                f"{name} holds {path}, which no version of this dataset has: delete it there, or name another repository"
            )


def _script(name: str) -> str:
    return f"{name.partition('/')[2]}.py"


def _refuse_faulty(folder: Path, options: Options) -> None:
    """Validates; what was found sound once is not decoded again, for its checksums say that it is the same."""
    record = folder.with_name(f".{folder.name}.validated")
    manifest = file_sha256(folder / MANIFEST)
    before = record.is_file() and record.read_text(encoding="utf-8") == manifest
    faults = validate(folder, rows=not (options.trust_audio or before))
    if faults:
        raise ReleaseError(
            f"{faults[0]} ({len(faults)} faults): `deepdialogue validate {folder}` names them all; nothing was published"
        )
    if not options.trust_audio:
        put(record, [manifest.encode()])


def _next(
    local: Snapshot, published: Snapshot | None, against: Difference | None, wanted: Version | None
) -> tuple[Version, Step, tuple[str, ...]]:
    """The number of a new version, and why it has to be that."""
    step: Step = "major"
    if published is None or published.version is None or against is None:
        rows: Counter[str] = Counter()
        for shard in local.manifest.shards:
            rows[shard.config] += shard.rows
        least = FIRST
        changes: tuple[str, ...] = (
            "first version: " + ", ".join(f"{number:,} rows in {config}" for config, number in rows.items()),
        )
    else:
        step = "patch" if against.step == "none" else against.step
        least, changes = published.version.after(step), against.changes or ("packaged again",)
    if wanted is not None and wanted < least:
        raise ReleaseError(
            f"version {wanted} is too small: it has to be {least} at least, which is a {step} step: {changes[0]}"
        )
    return wanted or least, step, changes


def _source(local: Snapshot) -> str:
    """A digest of all that a version holds, the same whether it was published before or not."""
    return hashlib.sha256(written(local.packaged)).hexdigest()


def _whole(
    local: Snapshot, name: str, releases: tuple[Release, ...], published: date
) -> dict[str, Path | bytes]:
    """Every file of the version as the Hub is to hold it."""
    config = next(iter(local.manifest.spoken), TEXT_ONLY)
    version = Version.parse(releases[-1].version)
    card = with_versions(
        local.card, releases, f'load_dataset("{name}", "{config}", revision="{version.tag}")'
    )
    told = {CARD: card.encode()}
    if CROISSANT in local.files:
        told[CROISSANT] = with_version(local.path(CROISSANT).read_bytes(), str(version), published)
    documents = tuple(
        Document(path=one.path, num_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        if (content := told.get(one.path))
        else one
        for one in local.manifest.documents
    )
    manifest = msgspec.structs.replace(
        local.manifest,
        versions=releases,
        card_sha256=hashlib.sha256(told[CARD]).hexdigest(),
        documents=documents,
    )
    files: dict[str, Path | bytes] = {path: local.path(path) for path in local.files}
    return files | told | {MANIFEST: written(manifest)}


def _is(there: File | None, local: Snapshot, path: str, content: Path | bytes) -> bool:
    """Whether the Hub holds a file as it is here."""
    if there is None:
        return False
    if isinstance(content, bytes):
        return there.blob_id == blob_id(content)
    if there.sha256 is None:
        return there.blob_id == blob_id(content.read_bytes())
    return there.sha256 == local.files[path].sha256


def _edited(published: Snapshot, remote: Mapping[str, File]) -> tuple[str, ...]:
    """Files that are not what the manifest beside them says."""
    found = [
        path
        for path, file in published.files.items()
        if path not in remote or remote[path].sha256 not in {None, file.sha256}
    ]
    if file_sha256(published.path(CARD)) != published.manifest.card_sha256:
        found.append(CARD)
    return tuple(found)


def _proposed(plan: Plan) -> str:
    """The pull request that has this version, the newest first; empty if there is none."""
    pulls = plan.repository.refs().pulls
    refs = sorted(pulls, key=lambda ref: -int(ref.rpartition("/")[2]))
    for ref in refs[:_PROPOSALS]:
        if _holds(plan.repository, pulls[ref], plan.versions):
            return ref
    return ""


def _holds(repository: Repository, sha: str, versions: tuple[Release, ...]) -> bool:
    """Whether a commit is this version, on whatever day it was made."""
    try:
        held = msgspec.json.decode(repository.fetch(MANIFEST, sha).read_bytes(), type=Manifest)
    except (DatasetError, ValueError):
        return False
    return held.versions == versions


def _uploaded(plan: Plan) -> list[CommitOperationAdd]:
    """Brings the content to the Hub, where nobody sees it yet, about a gigabyte at a time."""
    additions: list[CommitOperationAdd] = []
    done = 0
    with bar("push, MB", ceil(plan.num_bytes / _MB)) as progress:
        for batch in _batches(plan):
            begin = len(additions)
            # Whoever makes one reads the whole file, so that they are made batch by batch.
            additions += [
                CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
                for path, content in batch
            ]
            plan.repository.upload(additions[begin:], plan.options.branch, proposed=plan.options.pull_request)
            sent = done + sum(plan.size(path) for path, _ in batch)
            progress.advance(ceil(sent / _MB) - ceil(done / _MB))
            done = sent
    return additions


def _batches(plan: Plan) -> Iterator[list[tuple[str, Path | bytes]]]:
    """What is uploaded at once. Turn rows come after dialogue rows: the Hub finds their clips again, but not in one batch."""

    def view(item: tuple[str, Path | bytes]) -> bool:
        return item[0].partition("/")[0].endswith(TURNS)

    for _, items in groupby(sorted(plan.uploads.items(), key=lambda item: (view(item), item[0])), view):
        batch: list[tuple[str, Path | bytes]] = []
        held = 0
        for path, content in items:
            batch.append((path, content))
            held += plan.size(path)
            if held >= _BATCH_BYTES:
                yield batch
                batch, held = [], 0
        if batch:
            yield batch


def told(plan: Plan, rate: int) -> str:
    """What a push would do, in lines.

    Args:
        plan: what was decided.
        rate: bytes uploaded in a second.
    """
    name, branch, tag = plan.repository.name, plan.options.branch, plan.version.tag
    lines = [f"note: changed on the Hub since the last version: {path}" for path in plan.edited]
    if plan.untagged:
        lines.append(f"{name}: {branch} holds {plan.untagged} without its tag, which it gets")
    if plan.known:
        return "\n".join((*lines, f"{name}: {branch} holds just this as {tag}: nothing to publish"))
    what = f"a {plan.release.step} step" if plan.against else "the first version"
    there = "" if plan.parent else f", which is made, {'public' if plan.options.public else 'private'}"
    how = "a pull request for " if plan.options.pull_request else ""
    lines.append(f"{name}{there}: {tag} on {how}{branch}, {what}")
    lines += [f"  {change}" for change in plan.release.changes]
    changed = len(plan.uploads) - len(plan.fresh)
    lines += [
        f"  {len(plan.fresh)} files new, {changed} changed, {len(plan.deleted)} deleted",
        (
            f"  to upload: {plan.num_bytes / _MB:,.1f} MB, of which about {plan.new_bytes / _MB:,.1f} MB are new to the Hub "
            f"(an estimate from the indexes): {timedelta(seconds=round(plan.new_bytes / rate))} at {rate / _MB:g} MB/s"
        ),
    ]
    return "\n".join(lines)
