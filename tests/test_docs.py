"""What the pages say is so: every link leads somewhere, every key, default and column is the code's, every snippet runs."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import cycle
from pathlib import Path
from typing import get_args

import datasets
import msgspec
import numpy as np
import pytest
import soundfile
from msgspec import inspect

import builder.plugins.judges
import deepdialogue
from builder.__main__ import _parser
from builder.config import Site, Study, load_site, load_study, resources
from builder.core.dialogue import SPEAKERS, Dialogue, Turn
from builder.core.reply import Breach
from builder.core.verdict import Acceptance
from builder.dataset.index import CLIPS
from builder.errors import ConfigError
from builder.plugins import find, make, names
from builder.plugins.checks import Check
from builder.plugins.judges import Context, Judge
from builder.plugins.llm import Backend
from builder.plugins.measures import Measure
from builder.plugins.tts import Engine
from builder.records import convert
from tests.packaged import RATE, package, rows

ROOT = Path(__file__).parents[1]
README, STUDY, DATASET = ROOT / "README.md", ROOT / "docs" / "study.md", ROOT / "docs" / "dataset.md"
CONTRACTS = {kind.__name__.lower(): kind for kind in (Backend, Engine, Judge, Check, Measure)}
CODE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def prose(page):
    """A page without its blocks of code."""
    return CODE.sub("", page.read_text())


def python(page):
    return [code for language, code in CODE.findall(page.read_text()) if language == "python"]


def tables(page):
    """Every table of a page: the name of its first column, and its rows as lists of cells."""
    for block in re.findall(r"(?:^\|.*\n)+", prose(page), re.MULTILINE):
        head, _, *body = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        )
        yield head[0], body


def table(page, first):
    (body,) = (body for head, body in tables(page) if head == first)
    return body


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def anchors(page):
    """What a heading may be linked by, as GitHub makes it of the heading."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def default(field):
    """A field's default as the tables write it; a table shows what it changes."""
    if field.required:
        return "required"
    value = field.default if field.default is not inspect.NODEFAULT else field.default_factory()
    return "none" if value is None else f"`{toml(value)}`"


def toml(value):
    if isinstance(value, msgspec.Struct):
        plain, usual = (msgspec.structs.asdict(one) for one in (value, type(value)()))
        changed = ", ".join(f"{key} = {toml(part)}" for key, part in plain.items() if part != usual[key])
        return f"{{ {changed} }}"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def keys(record, prefix=""):
    """Every key of a file, whole, with its default; `NAME` stands for a name of the writer's own."""
    for field in inspect.type_info(record).fields:
        key, kind = prefix + field.name, getattr(field.type, "types", (field.type,))[0]
        if isinstance(kind, inspect.DictType) and isinstance(
            kind.value_type, inspect.StructType | inspect.DictType
        ):
            key, kind = f"{key}.NAME", kind.value_type
        if isinstance(kind, inspect.StructType):
            yield from keys(kind.cls, f"{key}.")
        else:
            yield key, default(field)


def columns(fields, prefix=""):
    """Every column of the features, with its type as the table writes it."""
    for name, feature in fields.items():
        inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", feature)
        if isinstance(inner, dict):
            yield prefix + name, "list"
            yield from columns(inner, f"{prefix}{name}.")
        elif inner is not feature:
            yield prefix + name, f"list of {type(inner).__name__}"
        else:
            yield (
                prefix + name,
                feature.dtype if isinstance(feature, datasets.Value) else type(feature).__name__,
            )


def held(*texts):
    """A dialogue that says the given texts."""
    return Dialogue(
        id=f"llama3-8B/travel_1_{len(texts)}",
        domain="travel",
        pairing="llama3-8B",
        first_checkpoint="ORG/NAME",
        second_checkpoint="ORG/NAME",
        rehearsal=False,
        turns=tuple(
            Turn(speaker=speaker, text=text, emotion="curious")
            for speaker, text in zip(cycle(SPEAKERS), texts, strict=False)
        ),
    )


def test_every_link_of_the_pages_leads_to_a_file_and_a_heading_that_exist():
    links = [
        (page, *target.partition("#")[::2])
        for page in (README, ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"))
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page))
    ]
    broken = [
        f"{page.name}: {path}#{anchor}"
        for page, path, anchor in links
        for file in [page.parent / path if path else page]
        if not file.is_file() or (anchor and anchor not in anchors(file))
    ]
    assert {page.name for page, *_ in links} >= {"README.md", "study.md"}
    assert not broken


def test_every_command_of_the_pages_is_one_that_the_command_line_takes():
    verbs = set()
    for page in (README, ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")):
        for language, code in CODE.findall(page.read_text()):
            for command in re.findall(r"^[$>].*?\bdeepdialogue ([^#&>\n]*)", code, re.MULTILINE):
                assert language == "console", f"{page.name}: {command}"
                words = shlex.split(re.sub(r"\$\(\(.*?\)\)", "1", command))
                verbs.add(_parser().parse_args(words).verb)  # which exits if it does not take them
    assert verbs >= {"plan", "build", "export", "endpoints", "synthesize"}


def test_every_site_of_the_pages_is_read_and_its_backends_and_engines_made(tmp_path):
    codes = [
        code
        for page in ROOT.glob("docs/*.md")
        for language, code in CODE.findall(page.read_text())
        if language == "toml"
        and not code.startswith(("[anna", "[acceptance]"))  # a folder of references, a rule
    ]
    made = set()
    for code in (*codes, (ROOT / "configs" / "sites" / "tgi.toml").read_text()):
        path = tmp_path / "site.toml"
        path.write_text(code)
        site = load_site(str(path))
        replicas = [
            table for one in site.models.values() for table in ([one] if isinstance(one, dict) else one)
        ]
        made |= {type(make(Engine, table, "site.toml")).__name__ for table in site.speech.values()}
        made |= {type(make(Backend, table, "site.toml")).__name__ for table in replicas}
    assert made >= {"Xtts", "Orpheus", "TGI", "OpenAI", "Hub"}


def test_every_rule_of_the_pages_is_one_that_decides():
    rules = [
        convert(tomllib.loads(code)["acceptance"], Acceptance, page.name)
        for page in ROOT.glob("docs/*.md")
        for language, code in CODE.findall(page.read_text())
        if language == "toml" and code.startswith("[acceptance]")
    ]
    assert any(rule.weights for rule in rules)


def test_every_breach_of_a_reply_is_told():
    body = table(STUDY, "breach")
    assert {name for row in body for name in quoted(row[0])} == set(get_args(Breach))


def test_no_table_of_names_is_left_unread():
    read = {"key", "key of a site", "verb", "breach", *CONTRACTS}
    named = {head for head, body in tables(STUDY) if any(quoted(row[0]) for row in body)}
    assert named == read


@pytest.mark.parametrize(("head", "record"), [("key", Study), ("key of a site", Site)])
def test_every_key_of_a_study_and_a_site_is_told_with_its_default_and_no_other(head, record):
    told = {quoted(row[0])[0].replace("CONFIG", "NAME"): row[2] for row in table(STUDY, head)}
    assert told == dict(keys(record))


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_setting_of_every_plugin_is_told_with_its_default_and_no_other(contract):
    told = {
        (plugin, setting): row[3]
        for row in table(STUDY, contract)
        for plugin in quoted(row[0])
        for setting in quoted(row[1]) or [""]
    }
    kind = CONTRACTS[contract]
    fields = {name: inspect.type_info(find(kind, name, "here")).fields for name in names(kind)}
    plain = {(name, ""): "" for name in fields if not fields[name]}
    assert told == plain | {(name, field.name): default(field) for name in fields for field in fields[name]}


def test_every_verb_is_told_and_no_other():
    told = [verb for row in table(STUDY, "verb") for verb in quoted(row[0])]
    (verbs,) = (action.choices for action in _parser()._actions if action.choices)
    assert sorted(told) == sorted(verbs)


@pytest.mark.parametrize(("head", "folder"), [("study", "."), ("site", "sites")])
def test_every_shipped_study_and_site_is_told_and_no_other(head, folder):
    told = {Path(quoted(row[0])[0]).stem for row in table(README, head)}
    assert told == {path.stem for path in (resources("configs") / folder).glob("*.toml")}


def test_every_column_of_the_dataset_is_told_with_its_type_and_configs_and_no_other():
    told = {quoted(row[0])[0]: (row[1], row[2]) for row in table(DATASET, "column")}
    everywhere = dict(columns(deepdialogue.features("text-only")))
    assert told == {
        name: (kind, "all" if name in everywhere else "spoken")
        for name, kind in columns(deepdialogue.features("xtts"))
    }


def test_every_column_of_a_turn_row_and_of_the_index_is_told_with_its_type_and_no_other():
    told = {quoted(row[0])[0]: row[1] for row in table(DATASET, "column of a turn")}
    assert told == dict(columns(deepdialogue.features("xtts-turns")))
    told = {quoted(row[0])[0]: row[1] for row in table(DATASET, "index column")}
    assert told == {field.name: str(field.type) for field in CLIPS}


def test_the_plugin_of_the_page_is_found_configured_and_judges(tmp_path, monkeypatch):
    (code,) = python(STUDY)
    (tmp_path / "question.py").write_text(code)
    monkeypatch.setattr(builder.plugins.judges, "__path__", [*builder.plugins.judges.__path__, str(tmp_path)])
    # What importing it leaves behind is noted here, to be taken away at the end.
    monkeypatch.setattr(builder.plugins.judges, "question", None, raising=False)
    monkeypatch.setitem(sys.modules, "builder.plugins.judges.question", None)
    monkeypatch.delitem(sys.modules, "builder.plugins.judges.question")
    with pytest.raises(ConfigError, match=r"judges\.question: .*min_questions.* 0"):
        make(Judge, {"min_questions": 0}, "judges.question", default="question")
    judge = make(Judge, {"min_questions": 2}, "judges.question", default="question")
    context = Context(name="question", seed=0, vocabulary=load_study("published").vocabulary, twins={})
    assert judge.fault(held("Shall we?", "Yes.", "When?"), context) is None
    assert judge.fault(held("Shall we?", "Yes."), context) == "1 questions, fewer than 2"


def test_every_snippet_of_the_dataset_page_runs_one_after_the_other(tmp_path):
    pytest.importorskip("torch", reason="the page feeds a DataLoader of PyTorch")
    package(tmp_path / "deepdialogue")
    script = tmp_path / "page.py"
    script.write_text("\n".join([*python(DATASET), "import json", "print(json.dumps(chats[0]['messages']))"]))
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR"}}
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    row = rows("xtts", "train")[0]
    heard, said = row["turns"][:2]
    assert json.loads(done.stdout) == [
        {"role": "user", "content": f"{heard['text']}\n\nThe emotion you feel: {said['emotion']}"},
        {"role": "assistant", "content": said["text"]},
    ]
    full, rate = soundfile.read(tmp_path / "full.wav", dtype="int16")
    assert (rate, len(full)) == (RATE, round(row["duration"] * RATE))
    for turn, clip in zip(row["turns"], row["audio"], strict=True):
        start = round(turn["start"] * RATE)
        assert np.array_equal(full[start : start + len(clip["samples"])], clip["samples"])
