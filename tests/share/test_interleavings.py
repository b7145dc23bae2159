"""What holds whatever happens in whatever order: everything that was published stays as it was, and is there once."""

import json
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from builder.core.dialogue import Dialogue
from builder.core.part import Part
from builder.core.scenario import scenarios
from builder.core.speech import Clip, Recording
from builder.errors import OvertakenError
from builder.run.audio import AudioFiles
from builder.run.ledger import Ledger, Ledgers
from builder.run.share import Share, _desk, _storage
from tests.runs import small, spoken
from tests.share.parts import begun

NODES = ("ann", "bob")
PART = Part.parse("1/1")
STUDY = small(judges=())
SCENARIOS = list(scenarios(STUDY.plan, STUDY.vocabulary, STUDY.seed))


class Killed(BaseException):
    """The process is there no more."""


class Nodes(RuleBasedStateMachine):
    """Nodes with a scratch folder each that open desks at will, work, publish, are killed, and are lost with their disk."""

    @initialize()
    def begin(self):
        self.root = Path(tempfile.mkdtemp())
        self.share = begun(str(self.root / "run"), STUDY)
        self.desks = {}
        self.published = {}
        self.count = 0

    def teardown(self):
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    def ledgers(self, desk, kind, name):
        own = Ledger(desk.folder / f"{name}.{desk.writer}.jsonl", kind, writable=True)
        others = [
            Ledger(path, kind, writable=False)
            for path in desk.folder.glob(f"{name}.*.jsonl")
            if path != own.path
        ]
        return Ledgers(own, others)

    @precondition(lambda self: len(self.desks) < len(NODES))
    @rule(data=st.data())
    def open(self, data):
        """Also while another is at work on the same part, and after whatever was left behind."""
        node = data.draw(st.sampled_from([node for node in NODES if node not in self.desks]))
        self.desks[node] = _desk._open(self.share, PART, self.root / node / PART.name)

    def one(self, data):
        """One that is at work."""
        node = data.draw(st.sampled_from(sorted(self.desks)))
        return node, self.desks[node]

    @precondition(lambda self: self.desks)
    @rule(data=st.data(), speak=st.booleans())
    def do(self, data, speak):
        """Holds a dialogue that is owed there, or speaks it as well, the clip first."""
        node, desk = self.one(data)
        dialogues = self.ledgers(desk, Dialogue, "dialogues")
        recordings = self.ledgers(desk, Recording, "recordings/xtts")
        self.count += 1
        for scenario in SCENARIOS:
            id = scenario.id
            if id not in recordings:
                if id not in dialogues:
                    dialogues.append(id, spoken(scenario, words=f"{node} {self.count}"))
                if speak:
                    with AudioFiles(desk.folder / "audio/xtts", part=desk.writer) as audio:
                        flac = f"fLaC of {dialogues[id].turns[0].text}".encode()
                        file, offset = audio.append(flac)
                    recordings.append(id, _recording(id, file, offset, len(flac)))
                break
        for ledger in (*dialogues.all, *recordings.all):
            ledger.close()

    @precondition(lambda self: self.desks)
    @rule(data=st.data(), objects=st.none() | st.integers(0, 2), after=st.booleans())
    def publish(self, data, objects, after):
        """All of it, or killed before or after one of the objects was created."""
        node, desk = self.one(data)
        create, created = _storage._Folder.create, 0

        def creating(storage, name, content):
            nonlocal created
            if created == objects and not after:
                raise Killed
            done = create(storage, name, content)
            if created == objects:
                raise Killed
            created += 1
            return done

        _storage._Folder.create = creating
        try:
            desk.publish()
        except Killed:
            del self.desks[node]
        except OvertakenError:
            shutil.rmtree(desk.folder)
            del self.desks[node]
        finally:
            _storage._Folder.create = create
        self.check()

    @precondition(lambda self: self.desks)
    @rule(data=st.data(), torn=st.booleans())
    def kill(self, data, torn):
        """Perhaps in the middle of a line."""
        node, desk = self.one(data)
        del self.desks[node]
        for path in desk.folder.glob(f"dialogues.{desk.writer}.jsonl"):
            if torn:
                with path.open("ab") as file:
                    file.write(b'{"id":"torn')

    @rule(node=st.sampled_from(NODES))
    def lose(self, node):
        """With its disk."""
        self.desks.pop(node, None)
        shutil.rmtree(self.root / node, ignore_errors=True)

    def check(self):
        """What was published is there as it was, and once."""
        view = self.root / "view"
        Share(self.share.url).pull(view, audio=True)
        found, told = _lines(view, "dialogues.*"), _lines(view, "recordings/xtts.*")
        assert set(told) <= set(found)
        for id, line in told.items():
            (clip,) = line["clips"]
            flac = self.share.clip(f"audio/xtts/{clip['file']}", clip["offset"], clip["num_bytes"])
            assert flac == (view / "audio/xtts" / clip["file"]).read_bytes()[clip["offset"] :][: len(flac)]
            assert flac.decode() == f"fLaC of {found[id]['turns'][0]['text']}"
        assert self.published.items() <= found.items()
        self.published = found


def _lines(folder, pattern):
    """Of all files together, by id; none stands in two lines."""
    lines = [
        json.loads(line)
        for path in folder.glob(f"{pattern}.jsonl")
        for line in path.read_text().splitlines()[1:]
    ]
    found = {line["id"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def _recording(id, file, offset, num_bytes):
    clip = Clip(
        ravdess="calm",
        file=file,
        offset=offset,
        num_bytes=num_bytes,
        num_samples=1,
        pause_samples=0,
        sha256="",
    )
    return Recording(
        id=id,
        engine="e",
        rehearsal=True,
        first_voice="a",
        second_voice="b",
        sampling_rate_hz=24_000,
        clips=(clip,),
    )


TestNodes = Nodes.TestCase
TestNodes.settings = settings(
    max_examples=30, stateful_step_count=30, suppress_health_check=list(HealthCheck)
)
