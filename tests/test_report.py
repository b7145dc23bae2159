"""What the report promises: one page that opens from a disk, the same for the same run, in the place of nothing but itself."""

import csv
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from builder.core.scenario import parse_id
from builder.errors import ConfigError
from builder.evidence import Options, names
from builder.evidence.findings import Absent
from builder.evidence.report import PAGE, report
from builder.run.folder import Run
from tests.commands import deepdialogue, tree
from tests.evidence.judging import broken, judged, review, study
from tests.runs import speak

pytest.importorskip("matplotlib")
pytest.importorskip("statsmodels")
SAMPLE = Path(__file__).parents[2] / "shared/published-sample"
HOSTILE = "<script>document.title='owned'</script>{{ 7 * 7 }} \u202e& `x` </style> é"


def some_rejected(dialogue):
    """Few enough rejected, for reasons that a hostile judge gave."""
    if parse_id(dialogue.id).index == 1:
        return broken(dialogue, reason=HOSTILE)
    return review(dialogue, 2.0 if parse_id(dialogue.id).index == 2 else 4.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run whose every dialogue says something hostile, half of them spoken."""
    made = study(3, title=f"A {HOSTILE}")
    at = tmp_path_factory.mktemp("report")
    with judged(at / "clean", made, some_rejected) as clean, Run(at / "run", made) as run:
        for scenario in clean.scenarios:
            run.scenarios.append(scenario.id, scenario)
        for dialogue in clean.dialogues:
            turns = tuple(
                msgspec.structs.replace(turn, text=f"{HOSTILE} {turn.text}") for turn in dialogue.turns
            )
            run.dialogues.append(dialogue.id, msgspec.structs.replace(dialogue, turns=turns))
            run.reviews.append(dialogue.id, clean.reviews[dialogue.id])
        speak(run, [one for one in run.dialogues if parse_id(one.id).index != 2])
    return at / "run"


@pytest.fixture(scope="module")
def written(folder):
    """The report of the run."""
    with Run(folder, writable=False) as run:
        report(run, folder / "report", Options())
    return folder / "report"


def test_every_finding_has_its_place_and_every_figure_its_table_and_its_command(folder, written):
    page = (written / PAGE).read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)">', page) == re.findall(r'<a href="#(\w+)">', page)
    assert sorted(re.findall(r'<section id="(\w+)">', page)) == names()
    for section in page.split("<section ")[1:]:
        assert ("Absent:" in section) != (f"deepdialogue report {folder} --only" in section)
    figures = {path.name for path in (written / "figures").iterdir()}
    assert {name for name in figures if name.endswith(".svg")} == {
        name.replace(".png", ".svg") for name in figures
    }
    assert set(re.findall(r"figures/([\w-]+\.svg)", page)) == {
        name for name in figures if name.endswith(".svg")
    }
    tables = {path.name for path in (written / "tables").iterdir()}
    assert set(re.findall(r"tables/([\w-]+\.csv)", page)) == tables
    assert {"retention-by_pairing.csv", "quality-by_position.csv", "emotions-transitions.csv"} <= tables


def test_a_table_beside_the_page_holds_its_numbers_in_full(written):
    with (written / "tables/retention-by_pairing.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["pairing"] for row in rows] == ["phi4-mini", "llama3-8B_gemma3-4B"]
    assert {float(row["accepted (%)"]) for row in rows} == {100 * (1 / 3)}


def test_the_page_holds_no_script_and_asks_for_nothing(written):
    page = (written / PAGE).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "49" not in page.partition("<nav>")[0].partition("<h1>")[2]
    assert not re.search(r"""(?:src|href)=(?!["'](?:data:|#))""", page)
    assert "default-src 'none'" in page


def test_in_a_browser_hostile_words_are_words_and_a_clip_is_heard(written):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the pages")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the PATH")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto((written / PAGE).as_uri())
        assert page.title().startswith("A <script>document.title='owned'</script>{{ 7 * 7 }}")
        assert "<script>document.title='owned'</script>{{ 7 * 7 }}" in page.inner_text(".said >> nth=0")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1000, "nothing is wider than the page"
        widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert len(widths) >= 8
        assert min(widths) > 400
        sound = page.evaluate(
            """async () => {
                const audio = document.querySelector("audio");
                audio.preload = "auto"; audio.load();
                await new Promise((done, fail) => { audio.oncanplaythrough = done; audio.onerror = fail; });
                return audio.duration;
            }"""
        )
        assert 0.03 < sound < 1
        browser.close()
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert len([url for url in asked if url.startswith("file:")]) == 1
    assert not said, "the browser had nothing to refuse"


def test_the_same_run_gives_the_same_bytes(folder, written, tmp_path):
    before = tree(written)
    with Run(folder, writable=False) as run:
        report(run, tmp_path / "again", Options())
    assert tree(tmp_path / "again") == before


def test_one_finding_alone_is_made_by_the_command_that_the_page_shows(folder, written):
    page = (written / PAGE).read_text(encoding="utf-8")
    command = re.search(r"<code>deepdialogue (report \S+ --only duplicates)</code>", page)[1]
    done = deepdialogue(*command.split(), cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    alone = folder / "report-duplicates"
    assert "duplicates: 0.00 % (" in done.stdout
    assert f"{alone / PAGE}: 0." in done.stdout
    for path, content in tree(alone).items():
        assert path == PAGE or content == tree(written)[path]


def test_a_finding_of_no_such_name_is_refused_with_the_nearest(folder, tmp_path):
    done = deepdialogue("report", folder, "--only", "retenton", "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "deepdialogue: error: no finding is called 'retenton': did you mean 'retention'?\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "value"), [("--sample", "-1"), ("--audio-mb", "-3")])
def test_a_size_below_nothing_is_refused(folder, tmp_path, option, value):
    done = deepdialogue("report", folder, option, value, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 1
    assert f"key '{option[2:].replace('-', '_')}' is {value}" in done.stderr


def test_what_is_no_report_is_never_replaced(folder, written, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(written, out)
    with Run(folder, writable=False) as run:
        for stray in (
            "notes.txt",
            "mine.html",
            "figures/mine.png",
            "tables/report.html",
            "thesis/report.html",
        ):
            path = out / stray
            path.parent.mkdir(exist_ok=True)
            path.write_text("mine")
            before = tree(out)
            with pytest.raises(ConfigError, match=rf"{path.name} is no part of a report"):
                report(run, out, Options())
            assert tree(out) == before
            path.unlink()
        with pytest.raises(ConfigError, match="is a file: name another"):
            report(run, written / PAGE, Options())


def test_what_fails_on_the_way_leaves_the_old_report(folder, tmp_path, monkeypatch):
    out = tmp_path / "report"
    with Run(folder, writable=False) as run:
        report(run, out, Options(), ["duplicates"])
        before = tree(tmp_path)
        monkeypatch.setattr("builder.files.sync", lambda path: path.unlink() or 1 / 0)
        with pytest.raises((ZeroDivisionError, OSError)):
            report(run, out, Options(), ["duplicates"])
    assert tree(tmp_path) == before


def test_without_the_extra_it_says_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with (
        Run(folder, writable=False) as run,
        pytest.raises(ConfigError, match=r"pip install 'deepdialogue\[report\]'"),
    ):
        report(run, tmp_path / "out", Options())


@pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="the sample of published dialogues is not beside the checkout"
)
def test_of_the_published_dialogues_it_says_what_they_lack_and_shows_the_rest(tmp_path):
    done = deepdialogue("ingest", SAMPLE, "--run", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Run(tmp_path / "run", writable=False) as run:
        found = report(run, tmp_path / "report", Options(sample=2, audio_mb=5))
    absent = {name for name, one in found.items() if isinstance(one, Absent)}
    assert {"retention", "quality", "pairings", "duplicates", "concreteness"} <= absent
    assert "the study has none" in found["retention"].reason
    assert "16 of 20 emotions occur in 46 turns" in found["emotions"].says
    assert "0 follow no edge of it" in found["emotions"].says
    assert [len(one.clips) == len(one.dialogue.turns) for one in found["sample"].excerpts] == [True, True]
    assert (tmp_path / "report" / PAGE).stat().st_size < 8e6
