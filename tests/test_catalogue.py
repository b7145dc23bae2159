"""What the catalogue promises: a run and the dataset made of it alike, found by what they are, read only where they are shown."""

import asyncio
import gc
import io
import os
import shutil
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from builder.core.scenario import Scenario
from builder.core.verdict import Abstention, Acceptance, Review, Verdict
from builder.dataset.manifest import read_manifest, write_manifest
from builder.errors import DatasetError, SourceError
from builder.people.annotations import Annotations, Opinion, Wanted
from builder.people.catalogue import ORDERS, OUTCOMES, Catalogue, Filters
from builder.run.audio import decode
from builder.run.failures import Failure
from builder.run.folder import Run
from builder.stages.package import package
from tests.commands import tree
from tests.runs import held, laid, small, speak

JUDGES = ("length", "panel-a", "panel-b")
LOST = "phi4-mini/work_9_3"


def review(id, coherence, length=1.0):
    """What a rule and a panel of two said; a panel of which nobody was readable says nothing."""
    scored = [
        Verdict(
            judge=judge, scores={"coherence": score}, reason=f"{judge} of {id}", turns={"coherence": (1, 2)}
        )
        for judge, score in zip(JUDGES[1:], coherence, strict=False)
    ]
    return Review(
        id=id,
        verdicts=(Verdict(judge="length", scores={"length": length}), *scored),
        abstentions=tuple(
            Abstention(judge=judge, reason="no JSON") for judge in JUDGES[1 + len(coherence) :]
        ),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of eight dialogues of every outcome and one that was lost, and the dataset of the four accepted and spoken ones."""
    folder = tmp_path_factory.mktemp("made")
    study = small(judges=("length",), acceptance=Acceptance(thresholds={"coherence": 3.0}))
    with held(folder / "run", study) as run:
        ids = sorted(run.dialogues.ids())
        for id, coherence in zip(ids, [(4, 5), (5, 5), (3, 4), (4, 3), (2, 1), ()], strict=False):
            run.reviews.append(id, review(id, coherence))
        run.reviews.append(ids[6], review(ids[6], (), length=0.0))
        lost = Scenario(id=LOST, domain="work", pairing="phi4-mini", emotions=("curious", "happy", "proud"))
        run.scenarios.append(LOST, lost)
        said = Failure(id=LOST, boundary="reply", message="<b>nothing</b> but an empty reply", number=1)
        run.failures.of("generate").append(LOST, said)
        speak(run, [run.dialogues[id] for id in ids[:4]])
        assert asyncio.run(package(run)).done == 4
    return folder


@pytest.fixture(scope="module")
def ids(made):
    with Run(made / "run", writable=False) as run:
        return sorted(run.dialogues.ids())


@pytest.fixture(scope="module")
def run(made):
    return Catalogue(made / "run")


@pytest.fixture(scope="module")
def dataset(made):
    return Catalogue(made / "out")


@pytest.fixture
def own(made, tmp_path):
    """A dataset that a test may harm."""
    return shutil.copytree(made / "out", tmp_path / "out")


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# Both sources


@pytest.mark.parametrize("config", [None, "xtts"])
def test_a_run_and_the_dataset_packaged_of_it_say_the_same_of_every_dialogue(run, dataset, ids, config):
    assert dataset.find(Filters()) == ids[:4] == run.find(Filters(outcomes=("accepted",)))
    for id in ids[:4]:
        assert run.line(id) == dataset.line(id)
        assert run.spoken(id) == dataset.spoken(id) == ("xtts",)
        ours, theirs = run.show(id, config), dataset.show(id, config)
        assert ours.row == theirs.row
        assert ours.emotions == theirs.emotions
        assert [one.scores for one in ours.review.verdicts] == [one.scores for one in theirs.review.verdicts]
        for turn in range(len(ours.emotions) + 1):
            assert run.clip("xtts", id, turn) == dataset.clip("xtts", id, turn)


def test_the_whole_dialogue_is_its_clips_with_their_silences(made, run, ids):
    with Run(made / "run", writable=False) as source:
        for id in ids[:4]:
            samples, rate = decode(run.clip("xtts", id, 0))
            assert rate == 24_000
            assert np.array_equal(samples, laid(source.dialogues[id])[0].sum(axis=1))


def test_a_clip_that_is_not_there_is_a_lookup_error(run, dataset, ids):
    turns = run.line(ids[0]).num_turns
    for catalogue in (run, dataset):
        assert catalogue.clip("xtts", ids[0], turns)
        for config, id, turn in (
            ("xtts", ids[0], turns + 1),
            ("xtts", ids[0], -1),
            ("orpheus", ids[0], 1),
            ("xtts", ids[7], 1),
            ("xtts", "../../etc/passwd", 1),
        ):
            with pytest.raises(LookupError):
                catalogue.clip(config, id, turn)


def test_every_choice_finds_as_many_as_it_says(run, dataset):
    for catalogue in (run, dataset):
        for kind, counts in catalogue.choices().items():
            assert counts
            for name, count in counts.items():
                assert len(catalogue.find(Filters(**{kind: (name,)}))) == count


def test_what_is_found_is_what_fits_every_filter(run):
    everything = [run.show(id) for id in run.find(Filters())]
    assert len(everything) == len(run) == 9
    emotions = run.choices()["emotions"]
    for domain, outcome, emotion, least in product(
        [(), ("work",)], [(), ("accepted", "failed")], [(), tuple(emotions)[:2]], [1, 5]
    ):
        fitting = [
            one.id
            for one in everything
            if (not domain or "/work_" in one.id)
            and (not outcome or one.outcome in outcome)
            and (not emotion or set(emotion) & set(one.emotions))
            and len(one.emotions) >= least
        ]
        found = run.find(Filters(domains=domain, outcomes=outcome, emotions=emotion, min_turns=least))
        assert found == fitting
    assert run.find(Filters(domains=("nowhere",))) == run.find(Filters(configs=("nowhere",))) == []
    assert (
        max(run.line(id).num_turns for id in run.find(Filters(max_turns=4)))
        <= 4
        < max(map(len, (one.emotions for one in everything)))
    )


def test_words_are_found_in_any_turn_in_any_case_and_all_of_them_are_needed(run, dataset, ids):
    for catalogue in (run, dataset):
        assert catalogue.find(Filters(words="NEVER told")) == catalogue.find(Filters(outcomes=OUTCOMES[:4]))
        assert catalogue.find(Filters(words="told zebra")) == []
        said = ids[1].replace("/", " ")
        assert catalogue.find(Filters(words=f"{said.upper()} times")) == [ids[1]]
        assert catalogue.find(Filters(words=said, domains=("nowhere",))) == []


def test_by_score_those_without_one_come_last_and_ids_are_counted_not_spelt(run, ids):
    scores = {id: run.line(id).score for id in run.find(Filters())}
    assert scores[ids[0]] == 4.5
    lowest, highest = (run.find(Filters(order=order)) for order in ORDERS[1:])
    assert [scores[id] for id in lowest] == [1.5, 3.5, 3.5, 4.5, 5.0, None, None, None, None]
    assert [scores[id] for id in highest] == [5.0, 4.5, 3.5, 3.5, 1.5, None, None, None, None]


def test_a_domains_tenth_dialogue_stands_after_its_second(tmp_path):
    study = small(judges=())
    plan = msgspec.structs.replace(study.plan, dialogues_per_cell=11)
    held(tmp_path / "run", msgspec.structs.replace(study, plan=plan)).__exit__(None, None, None)
    numbers = [int(id.split("_")[-2]) for id in Catalogue(tmp_path / "run").find(Filters(domains=("work",)))]
    assert numbers == [*range(1, 12)] * 2


def test_a_dialogue_is_named_by_its_id_or_by_what_is_enough_of_it(run, ids):
    stems = [id.partition("/")[2] for id in ids]
    assert run.resolve(ids[3]) == ids[3]
    alone = next(id for id, stem in zip(ids, stems, strict=True) if stems.count(stem) == 1)
    assert run.resolve(alone.partition("/")[2]) == alone
    with pytest.raises(DatasetError) as refusal:
        run.resolve(ids[0][:-1])
    assert f"did you mean '{ids[0]}'?" in one_line(refusal)


def test_a_name_of_several_dialogues_is_refused_with_all_of_them(tmp_path):
    with held(tmp_path / "run", small(judges=())) as run:
        dialogue = next(iter(run.dialogues))
        other = f"llama3-8B/{dialogue.id.partition('/')[2]}"
        run.dialogues.append(other, msgspec.structs.replace(dialogue, id=other, pairing="llama3-8B"))
    with pytest.raises(DatasetError, match="is the id of 2 dialogues: name one of") as refusal:
        Catalogue(tmp_path / "run").resolve(other.partition("/")[2])
    assert dialogue.id in one_line(refusal)
    assert other in one_line(refusal)


# A run


def test_every_outcome_is_told_with_its_reasons_and_what_each_judge_said(run, ids):
    told = {id: (run.show(id).outcome, run.show(id).reasons) for id in ids}
    assert [told[id] for id in ids[3:]] == [
        ("accepted", ()),
        ("rejected", ("coherence",)),
        ("undecided", ("coherence",)),
        ("rejected", ("length",)),
        ("not judged", ()),
    ]
    shown = run.show(ids[4])
    assert shown.review == review(ids[4], (2, 1))
    assert shown.acceptance.thresholds == {"coherence": 3.0}
    assert len(run.show(ids[5]).review.abstentions) == 2


def test_what_was_lost_is_listed_with_what_went_wrong(run):
    assert run.find(Filters(outcomes=("failed",))) == [LOST]
    lost = run.show(LOST)
    assert (lost.row, lost.review) == (None, None)
    assert lost.emotions == ("curious", "happy", "proud")
    ((work, failure),) = lost.failures
    assert (work, failure.boundary) == ("generate", "reply")
    assert "empty reply" in failure.message


def test_a_run_without_judges_has_accepted_what_it_holds(tmp_path):
    held(tmp_path / "run", small(judges=())).__exit__(None, None, None)
    assert Catalogue(tmp_path / "run").choices()["outcomes"] == {"accepted": 8}


def test_a_run_that_has_only_begun_holds_nothing_yet(tmp_path):
    Run(tmp_path / "run", small(judges=())).__exit__(None, None, None)
    catalogue = Catalogue(tmp_path / "run")
    assert len(catalogue) == len(catalogue.find(Filters(words="told"))) == 0
    assert {name for counts in catalogue.choices().values() for name in counts} == set()
    with pytest.raises(DatasetError, match="holds no dialogue 'work_1_3'") as refusal:
        catalogue.resolve("work_1_3")
    one_line(refusal)


def test_a_clip_that_does_not_fit_its_dialogue_is_one_line(own, ids):
    shutil.rmtree(own / "index")  # whose clips lie elsewhere then
    for path in (own / "xtts").rglob("*.parquet"):
        table = pq.read_table(path)
        short = [0.01] * len(table)
        place = table.column_names.index("duration")
        pq.write_table(table.set_column(place, table.schema.field(place), [short]), path)
    with pytest.raises(SourceError, match="clip 1 does not fit its dialogue") as refusal:
        Catalogue(own).clip("xtts", ids[0], 0)
    one_line(refusal)


def test_what_was_ingested_without_its_recording_keeps_its_failure(tmp_path):
    with held(tmp_path / "run", small(judges=())) as run:
        id, *_ = run.dialogues.ids()
        for failed in (f"xtts:{id}", "xtts:no id at all"):
            run.failures.of("ingest").append(failed, Failure(id=failed, boundary="source", message="cut off"))
    catalogue = Catalogue(tmp_path / "run")
    assert [(work, failure.message) for work, failure in catalogue.show(id).failures] == [
        ("ingest", "cut off")
    ]
    assert len(catalogue) == 8


def test_what_people_said_is_shown_with_the_dialogue(made, tmp_path):
    folder = shutil.copytree(made / "run", tmp_path / "run")
    with Run(folder, writable=False) as run, Annotations(run, ["anna"], Wanted(check_every=0)) as annotations:
        key, item = next(iter(annotations.items("anna").items()))
        annotations.say("anna", key, Opinion(scores={"coherence": 4}, reason="fine"))
    shown = Catalogue(folder).show(item.dialogue)
    assert [(one.annotator, one.scores) for one in shown.annotations] == [("anna", {"coherence": 4})]


def test_a_run_is_looked_at_while_it_is_worked_on_and_left_as_it_is(made, tmp_path):
    folder = shutil.copytree(made / "run", tmp_path / "run")
    before = tree(folder)
    catalogue = Catalogue(folder)
    for id in catalogue.find(Filters(words="told")):
        catalogue.show(id)
    assert tree(folder) == before
    with Run(folder) as run:
        id = catalogue.find(Filters(outcomes=("not judged",)))[0]
        run.reviews.append(id, review(id, (5, 5)))
        assert catalogue.line(id).outcome == "not judged"
        assert Catalogue(folder).line(id).outcome == "accepted"


def test_what_it_opened_is_closed_when_nobody_uses_it_any_more(made):
    def open_files():
        # Only of this run: what else the process has open comes and goes.
        held = (os.path.realpath(file) for file in Path("/proc/self/fd").iterdir())
        return sum(file.startswith(str(made / "run")) for file in held)

    gc.collect()
    before = open_files()
    catalogue = Catalogue(made / "run")
    assert open_files() > before
    del catalogue
    assert open_files() == before


# A dataset


class Watched(io.FileIO):
    """A file that remembers which of its bytes were read."""

    reads = []

    def readinto(self, buffer):
        begin = self.tell()
        count = super().readinto(buffer)
        Watched.reads.append((self.name, begin, begin + count))
        return count

    def read(self, size=-1):
        begin = self.tell()
        data = super().read(size)
        Watched.reads.append((self.name, begin, begin + len(data)))
        return data


@pytest.fixture
def heard(monkeypatch):
    """Forgets what was read, and says how many bytes of sound have been read since."""
    opened = pq.ParquetFile

    class File(opened):
        def __init__(self, path):
            self.watched = Watched(path)
            super().__init__(self.watched)

        def __exit__(self, *error):
            super().__exit__(*error)
            self.watched.close()

    monkeypatch.setattr(pq, "ParquetFile", File)
    plain = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, *how, **more: Watched(path) if "buffering" in more else plain(path, *how, **more),
    )

    def heard():
        """The bytes read of columns with sound. What a reader takes from a file's end to find its columns is none."""
        found = 0
        for name, begin, end in Watched.reads:
            with opened(name) as file:
                for group in range(file.num_row_groups):
                    chunks = file.metadata.row_group(group)
                    for chunk in map(chunks.column, range(chunks.num_columns)):
                        first = chunk.dictionary_page_offset or chunk.data_page_offset
                        last = first + chunk.total_compressed_size
                        if chunk.path_in_schema.startswith("audio") and end < name.stat().st_size:
                            found += max(0, min(end, last) - max(begin, first))
        Watched.reads.clear()
        return found

    Watched.reads.clear()
    return heard


def test_no_sound_is_read_before_it_is_heard(made, ids, heard):
    catalogue = Catalogue(made / "out")
    catalogue.find(Filters(words="told"))
    catalogue.show(ids[0], "xtts")
    assert {name.parts[-3] for name, *_ in Watched.reads} == {"text-only", "xtts"}
    assert heard() == 0


def test_of_a_clip_that_is_heard_its_own_bytes_are_read_and_no_others(made, ids, heard):
    catalogue = Catalogue(made / "out")
    for id in ids[:4]:
        assert heard() == 0
        flac = catalogue.clip("xtts", id, 2)
        assert heard() == len(flac)


def test_without_an_index_a_clip_costs_its_row_group_once_and_is_the_same(own, dataset, ids, heard):
    shutil.rmtree(own / "index")
    catalogue = Catalogue(own)
    clips = [dataset.clip("xtts", ids[0], turn) for turn in (1, 2)]
    heard()
    assert catalogue.clip("xtts", ids[0], 1) == clips[0]
    assert heard() > len(clips[0])
    assert catalogue.clip("xtts", ids[0], 2) == clips[1]
    assert heard() == 0


def test_where_only_the_text_was_fetched_the_text_is_shown(own, ids):
    shutil.rmtree(own / "xtts")
    catalogue = Catalogue(own)
    assert (catalogue.configs, catalogue.spoken(ids[0])) == ((), ())
    assert catalogue.show(ids[0]).row["turns"]


def test_where_only_the_sound_was_fetched_its_own_text_is_shown(own, dataset, ids):
    shutil.rmtree(own / "text-only")
    catalogue = Catalogue(own)
    assert catalogue.show(ids[0]).row == dataset.show(ids[0], "xtts").row
    assert catalogue.find(Filters(words="told")) == ids[:4]
    assert catalogue.clip("xtts", ids[2], 1) == dataset.clip("xtts", ids[2], 1)


def test_a_dataset_that_was_packaged_again_meanwhile_says_so(own, ids):
    catalogue = Catalogue(own)
    shards = [*(own / "xtts").rglob("*.parquet")]
    for path in (*shards, *(own / "text-only").rglob("*.parquet")):
        table = pq.read_table(path)
        pq.write_table(table.set_column(0, "id", [["phi4-mini/work_77_3"] * len(table)]), path)
    for path in (own / "text-only").rglob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.slice(0, len(table) - 1), path)
    for ask in (
        lambda: catalogue.show(ids[0]),
        lambda: catalogue.clip("xtts", ids[0], 1),
        lambda: catalogue.find(Filters(words="told")),
    ):
        with pytest.raises(DatasetError, match="was packaged again: reload it") as refusal:
            ask()
        one_line(refusal)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def relabelled(path):
    """The first emotion becomes a number without a name."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["turns"][0]["emotion"] = 99
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (cut, "cannot be read"),
        (relabelled, "label 99 is a number without a name"),
        (os.unlink, "cannot be read"),
    ],
)
def test_a_damaged_shard_is_one_line_that_names_it(own, harm, said):
    path = min((own / "text-only").rglob("*.parquet"))
    harm(path)
    with pytest.raises(DatasetError) as refusal:
        Catalogue(own)
    assert said in one_line(refusal)
    assert str(path) in one_line(refusal)


def test_a_dialogue_that_is_in_the_dataset_twice_is_refused(own):
    manifest = read_manifest(own)
    shards = [shard for shard in manifest.shards if shard.config == "text-only"]
    write_manifest(own, msgspec.structs.replace(manifest, shards=(*manifest.shards, shards[0])))
    with pytest.raises(DatasetError, match="is in the dataset twice"):
        Catalogue(own)


def test_a_recording_without_its_text_is_refused(own, ids):
    path = next(
        path for path in (own / "xtts").rglob("*.parquet") if ids[0] in pq.read_table(path)["id"].to_pylist()
    )
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "id", [["phi4-mini/work_77_3"] * len(table)]), path)
    with pytest.raises(DatasetError, match="is not in text-only"):
        Catalogue(own)


def test_a_folder_that_is_neither_run_nor_dataset_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"neither a run folder.*nor a packaged dataset"):
        Catalogue(tmp_path)


def test_of_a_damaged_run_the_rest_is_shown_and_the_damage_is_one_line(made, tmp_path, capsys):
    folder = shutil.copytree(made / "run", tmp_path / "run")
    with (folder / "reviews.jsonl").open("a") as ledger:
        ledger.write('{"id": 3}\n')
    Catalogue(folder)
    Catalogue(folder)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{folder}/reviews.jsonl: damaged in line ")
