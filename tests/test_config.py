"""What a study and a site refuse, and how they say it."""

import copy
import json
import shutil
import tomllib

import pytest

from builder.config import _Read, load_site, load_study, resources
from builder.errors import ConfigError


def edited(tmp_path, file, old="", new=""):
    """The quickstart study, with one edit in one of the files it is made of."""
    configs = tmp_path / "configs"
    shutil.copytree(resources("configs"), configs)
    path = configs / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return load_study(str(configs / "quickstart.toml"))


def site(tmp_path, text):
    path = tmp_path / "site.toml"
    path.write_text(text)
    return load_site(str(path))


@pytest.mark.parametrize("path", sorted((resources("configs")).glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_study_loads_by_its_name_and_is_called_like_its_file(path):
    assert load_study(path.stem).name == path.stem


@pytest.mark.parametrize(
    "path", sorted((resources("configs") / "sites").glob("*.toml")), ids=lambda path: path.stem
)
def test_every_shipped_site_loads_by_its_name(path):
    assert load_site(path.stem).name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "dialogues_per_cell",
            "dialogues_per_cel",
            "unknown key 'plan.dialogues_per_cel': did you mean 'dialogues_per_cell'?",
        ),
        (
            "dialogues_per_cell = 2",
            'dialogues_per_cell = "2"',
            "key 'plan.dialogues_per_cell' is '2': a whole number from 1 to 1000000 is needed",
        ),
        ("seed = 2505\n", "", "missing key 'seed'"),
        ('rule = "reachable"', 'rule = "reachible"', "key 'plan.transitions.rule' is 'reachible'"),
        ("in_domain = 0.8", "in_domain = 8", "key 'plan.transitions.in_domain' is 8"),
        ('"cooking"', '"coking"', "plan.domains selects unknown domain 'coking': did you mean 'cooking'?"),
        (
            '"phi4-mini",',
            '"phi4-maxi",',
            "plan.pairings selects unknown pairing 'phi4-maxi': did you mean 'phi4-mini'?",
        ),
        (
            "turns = { min = 3, max = 10 }",
            "turns = { min = 9, max = 3 }",
            "turns.min is 9, more than turns.max, 3",
        ),
        ("train = 0.7", "train = 0.9", "three shares of at least 0 that sum to 1"),
        ("[speech.xtts]", "[speech.text-only]", "'text-only' has no speech"),
        ("[speech.xtts]", "[speech.xtts-turns]", "one ending in '-turns' has the turns of another"),
        (
            "voices-ravdess.toml",
            "voices-ravdes.toml",
            "names the file 'vocabularies/voices-ravdes.toml', which is not in",
        ),
        ("name =", "name +=", "not TOML"),
    ],
)
def test_a_typo_in_a_study_is_named_with_file_key_value_and_repair(tmp_path, old, new, said):
    with pytest.raises(ConfigError) as caught:
        edited(tmp_path, "quickstart.toml", old, new)
    assert said in str(caught.value)
    assert "quickstart.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '"amused", "curious", "enthusiastic", "happy", "proud"',
            '"hapy"',
            r"leads to unknown emotion 'hapy': did you mean 'happy'\?",
        ),
        ('"curious", "frustrated", "relaxed", "surprised"', "", "emotion 'bored' has no successor"),
        (
            '"llama3-70B", second',
            '"llama3-7B", second',
            r"is of unknown model 'llama3-7B': did you mean 'llama3-70B'\?",
        ),
    ],
)
def test_a_vocabulary_that_refers_to_nothing_is_refused(tmp_path, old, new, said):
    with pytest.raises(ConfigError, match=said):
        edited(tmp_path, "vocabularies/deepdialogue.toml", old, new)


def test_a_prompt_without_its_placeholder_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"prompt 'reply': the placeholder \{emotion\} is missing"):
        edited(tmp_path, "prompts/reply.txt", "{emotion}", "")


def test_a_study_or_site_that_is_not_shipped_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no study is called 'quickstar': did you mean 'quickstart'\?"):
        load_study("quickstar")
    with pytest.raises(ConfigError, match=r"no site is called 'rehersal': did you mean 'rehearsal'\?"):
        load_site("rehersal")
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such study file"):
        load_study("nowhere.toml")


@pytest.mark.parametrize(
    "line",
    [
        'token = "abc"',
        'api_key = "abc"',
        'note = "hf_abcdefghijklmnopqrstuvwxyz"',
        'url = "http://me:hunter2@example.com"',
        'headers = { authorization = "Bearer abcdefghijkl" }',
        'extra = { provider = { api_key = "abc" } }',
    ],
)
def test_a_secret_in_a_site_is_refused_and_not_repeated(tmp_path, line):
    with pytest.raises(ConfigError, match=r"key 'models\.\*\.") as caught:
        site(tmp_path, f'[models."*"]\nbackend = "tgi"\n{line}\n')
    for secret in ("abc", "hunter2"):
        assert secret not in str(caught.value)


def test_the_name_of_an_environment_variable_is_no_secret(tmp_path):
    table = site(tmp_path, '[models."*"]\nbackend = "tgi"\nurl = "http://x"\ntoken_env = "HF_TOKEN"\n')
    assert table.models["*"]["token_env"] == "HF_TOKEN"


def test_a_secret_in_a_study_is_refused_and_not_repeated(tmp_path):
    with pytest.raises(ConfigError, match="key 'licence' holds a secret") as caught:
        edited(
            tmp_path,
            "quickstart.toml",
            'licence = "cc-by-nc-4.0"',
            'licence = "hf_abcdefghijklmnopqrstuvwxyz"',
        )
    assert "abcdef" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("coherence = 3", "coherence = nan", "key 'acceptance.thresholds.coherence' is nan: a finite number"),
        ("train = 0.7", "train = inf", "key 'splits.train' is inf: a finite number"),
        ('name = "quickstart"', 'name = "quickstart\\n"', r"key 'name' is 'quickstart\n'"),
        ('name = "quickstart"', 'name = "../quickstart"', "key 'name' is '../quickstart'"),
        ("seed = 2505", "seed = " + 5000 * "[", "its values are nested too deeply"),
        (
            'title = "DeepDialogue quickstart"',
            'title = { file = "quickstart.toml" }',
            "which it is part of itself",
        ),
    ],
)
def test_what_could_not_be_read_back_from_a_run_is_refused_before_there_is_one(tmp_path, old, new, said):
    with pytest.raises(ConfigError, match=r"quickstart\.toml: ") as caught:
        edited(tmp_path, "quickstart.toml", old, new)
    assert said in str(caught.value)


def test_two_files_that_name_each_other_are_refused(tmp_path):
    (tmp_path / "a.toml").write_text('judges = { file = "b.toml" }\n')
    (tmp_path / "b.toml").write_text('rubric = { file = "a.toml" }\n')
    with pytest.raises(
        ConfigError, match=r"b\.toml: key 'rubric' names the file 'a\.toml', which it is part of itself"
    ):
        load_study(str(tmp_path / "a.toml"))


def test_a_prompt_that_is_no_text_is_named(tmp_path):
    (tmp_path / "title.txt").write_bytes(b"caf\xe9")
    (tmp_path / "a.toml").write_text('title = { file = "title.txt" }\n')
    with pytest.raises(ConfigError, match=r"title\.txt: not UTF-8"):
        load_study(str(tmp_path / "a.toml"))


def test_an_address_that_is_none_is_refused_when_the_site_is_read(tmp_path):
    with pytest.raises(ConfigError, match=r"site\.toml: models\.\*"):
        site(tmp_path, '[models."*"]\nbackend = "tgi"\nurl = "http://[::1"\n')


def table(**parts):
    """A study in TOML: the quickstart's own parts, with others in their place."""
    base = resources("configs")
    own = {
        "name": '"small"',
        "title": '"Small"',
        "seed": "1",
        "licence": '"cc-by-4.0"',
        "vocabulary": f'{{ file = "{base}/vocabularies/deepdialogue.toml" }}',
        "script": f'{{ file = "{base}/prompts/script.toml" }}',
        "judges": f'{{ file = "{base}/prompts/judges.toml" }}',
        "plan": "{ dialogues_per_cell = 1 }",
        "acceptance": "{ quorum = 2, thresholds = { coherence = 3 } }",
    }
    return "\n".join(f"{key} = {value}" for key, value in (own | parts).items())


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (
            {"acceptance": "{ thresholds = { coherance = 3 } }"},
            "acceptance.thresholds.coherance: no judge of the study scores 'coherance': did you mean 'coherence'?",
        ),
        (
            {"acceptance": "{ thresholds = { coherence = 0.5 } }"},
            "thresholds.coherence is 0.5: 'coherence' is scored from 1 to 5",
        ),
        ({"acceptance": "{ thresholds = { length = 3 } }"}, "'length' is scored from 0 to 1"),
        (
            {"acceptance": "{ quorum = 4, thresholds = { coherence = 3 } }"},
            "acceptance.quorum is 4: 3 of the study's judges have a vote on 'coherence'",
        ),
        (
            {
                "acceptance": "{ quorum = 2, thresholds = { emotion = 3 }, "
                "weights = { rubric-llama = 0, rubric-qwen = { emotion = 0 } } }"
            },
            "acceptance.quorum is 2: 1 of the study's judges have a vote on 'emotion': rubric-gemma",
        ),
        (
            {"acceptance": "{ quorum = 0, thresholds = { length = 1 }, weights = { length = 0 } }"},
            "acceptance.quorum is 0: 0 of the study's judges have a vote on 'length'",
        ),
        ({"acceptance": "{ weights = { rubric-lama = 1 } }"}, "did you mean 'rubric-llama'?"),
        (
            {"judges": "{ length = { max_word = 3 } }"},
            "unknown key 'judges.length.max_word': did you mean 'max_words'?",
        ),
        ({"judges": "{ lenght = {} }"}, "judges.lenght: no judge 'lenght': did you mean 'length'?"),
        (
            {"measures": "{ prosody = { min_f0_hz = -1 } }"},
            "key 'measures.prosody.min_f0_hz' is -1: a number from",
        ),
        (
            {"plan": "{ dialogues_per_cell = 1, domains = [] }"},
            "key 'plan.domains' is []: a list of at least one name",
        ),
        (
            {"plan": "{ dialogues_per_cell = 1, turns = { max = 100000000000000000000 } }"},
            "from 1 to 1000 is needed",
        ),
        (
            {"plan": '{ dialogues_per_cell = 1, transitions = { rule = "papper" } }'},
            "one of 'paper', 'reachable'",
        ),
        ({"seed": "-1"}, "key 'seed' is -1: a whole number from 0 to 9223372036854775807 is needed"),
        ({"seed": "1" * 5000}, "not TOML: Exceeds the limit"),
        ({"vocabulary": '{ file = "/proc/self/environ" }'}, "environ: not UTF-8 (a zero byte"),
        ({"vocabulary": '{ file = "/dev/zero" }'}, "which is a device or a pipe"),
        ({"vocabulary": '{ file = "/proc" }'}, "which is a folder"),
        ({"vocabulary": "{ file = 3 }"}, "names the file 3: its path, as text, is needed"),
        ({"vocabulary": '{ file = "' + "x" * 3000 + '" }'}, "which is not in"),
        ({"title": '""'}, "key 'title' is '': one line of 1 to 300 characters is needed"),
    ],
)
def test_what_no_run_could_do_is_found_when_the_study_is_read(tmp_path, parts, said):
    path = tmp_path / "study.toml"
    path.write_text(table(**parts))
    with pytest.raises(ConfigError) as caught:
        load_study(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "vocabularies/deepdialogue.toml",
            "billion_parameters = ",
            "billion_parameters = -",
            "billion_parameters' is -",
        ),
        (
            "vocabularies/deepdialogue.toml",
            'hub_id = "',
            'hub_id = "../../',
            "a repository of the Hub, ORG/NAME",
        ),
        (
            "vocabularies/deepdialogue.toml",
            'ravdess = "',
            'ravdess = "x',
            "one of 'neutral', 'calm', 'happy'",
        ),
        (
            "prompts/criteria.toml",
            "question = ",
            "questoin = ",
            "unknown key 'coherence.questoin'",
        ),
        ("vocabularies/voices-ravdess.toml", '"female"', '"femal"', "one of 'female', 'male'"),
    ],
)
def test_a_value_of_a_file_that_the_study_names_is_told_with_that_file(tmp_path, file, old, new, said):
    with pytest.raises(ConfigError, match=rf"{file}") as caught:
        edited(tmp_path, file, old, new)
    assert said in str(caught.value)
    assert "quickstart.toml" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('models."*" = []', "key 'models.*' is []: tables, at least one is needed"),
        (
            '[models."*"]\nbackend = "rehearsal"\nlimit = 0',
            r"key 'models.*.limit' is 0: a whole number from 1 to 1000000 is needed",
        ),
        (
            '[models."*"]\nbackend = "tgi"\nurl = "http://x"\ntimeout_s = 1e308',
            "key 'models.*.timeout_s' is 1e+308: a number above 0",
        ),
        (
            '[[models."*"]]\nbackend = "rehearsal"\n[[models."*"]]\nbackend = "rehersal"',
            "models.*[1]: no backend 'rehersal'",
        ),
        ('[speech."*"]\nengine = "espaek"', "speech.*: no engine 'espaek': did you mean 'espeak'?"),
        ('engine = "spark"', "key 'engine' is 'spark': one of 'process', 'ray' is needed"),
        ("budget = { calls = 0 }", "key 'budget.calls' is 0: a whole number from 1"),
        ("prices = { a = { per_hour = -1 } }", "key 'prices.a.per_hour' is -1: a number from 0"),
        ("prices = { a = { per_hour = nan } }", "key 'prices.a.per_hour' is nan: a finite number is needed"),
    ],
)
def test_a_value_of_a_site_that_cannot_be_is_told_with_its_range_or_its_choices(tmp_path, text, said):
    with pytest.raises(ConfigError, match=r"site\.toml: ") as caught:
        site(tmp_path, text)
    assert said in str(caught.value)


HOSTILE = [
    "-1", "0", "1" + "0" * 30, "1e308", "nan", '""', '"' + "x" * 10_000 + '"', '"a\\u0000\\u001b[31m\\n"',
    '"../../etc/passwd"', "true", "[]", "[[[1]]]", '{ odd = "x" }', '{ file = "nowhere.txt" }',
]  # fmt: skip
SITE = """
name = "s"
engine = "process"
ray = { address = "", workers = 2, parts = 3, needs = { judge = { num_cpus = 1.0, num_gpus = 0.0, resources = { a = 1.0 } } } }
strict = false
overlap = false
budget = { calls = 1, tokens = 1, money = 1.0 }
prices = { a = { per_hour = 1.0, per_million_prompt_tokens = 1.0, currency = "USD" } }
speeds = { a = { prompt_tokens_per_s = 1.0, completion_tokens_per_s = 1.0, parallel = 1 } }
[models]
a = { backend = "tgi", url = "http://x", timeout_s = 1.0, connect_timeout_s = 1.0, attempts = 2, share = 1.0, api = "messages" }
b = { backend = "openai", url = "http://x", dialect = "openai", pause_s = 1.0, limit = 1 }
c = { backend = "hub", provider = "x", limit = 3, token_env = "TOKEN" }
d = { backend = "transformers", path = "x", device = "cpu", dtype = "auto", limit = 2 }
e = { backend = "rehearsal", misbehaviour = 1.0, latency_s = 0.0 }
[speech]
a = { engine = "espeak", sampling_rate_hz = 24000 }
b = { engine = "xtts", path = "x", references = "y", batch = 2, language = "en" }
c = { engine = "orpheus", api = "vllm", url = "http://x", max_tokens = 1024 }
"""


def toml(value):
    """Plain data as one value of TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {toml(part)}" for name, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return value.raw if isinstance(value, Raw) else json.dumps(value)


class Raw:
    def __init__(self, raw):
        self.raw = raw


def places(value, at=()):
    """The path of every value that is no table, one for each shape of path: all models have the same keys."""
    parts = value.items() if isinstance(value, dict) else enumerate(value[:1])
    for name, part in parts:
        if isinstance(part, dict | list) and part:
            yield from places(part, (*at, name))
        yield (*at, name)


def shape(path):
    """A path without the names that a study gives."""
    named = {"emotions": 1, "domains": 1, "models": 1, "pairings": 1}
    return tuple(
        "*" if place and path[place - 1] in named and path[0] == "vocabulary" else name
        for place, name in enumerate(path)
    )


def lines(table):
    return {key: f"{json.dumps(key)} = {toml(value)}" for key, value in table.items()}


def with_value(table, path, value, whole):
    """The table as TOML, with this value at a path; `whole` has its lines without."""
    key = path[0]
    changed = {key: copy.deepcopy(table[key])}
    part = changed
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    return "\n".join((whole | lines(changed)).values())


def small_study():
    """The quickstart as one table, cut to a few names of each kind so that it is read a thousand times in seconds."""
    study = _Read(resources("configs") / "quickstart.toml").table
    vocabulary = study["vocabulary"]
    keep = {
        "emotions": {"excited", "hopeful", "surprised"},
        "domains": {"travel"},
        "models": {"phi4-mini", "llama3-70B"},
        "pairings": {"phi4-mini"},
    }
    for kind, names in keep.items():
        vocabulary[kind] = {name: one for name, one in vocabulary[kind].items() if name in names}
    for kind, key in (("emotions", "successors"), ("domains", "emotions")):
        for one in vocabulary[kind].values():
            one[key] = [name for name in one[key] if name in keep["emotions"]]
    rubric = study["judges"]["rubric-llama"]
    rubric["rubric"] = "version 2\nScore {criteria} and answer with {keys}."
    rubric["criteria"] = {name: rubric["criteria"][name] for name in ("coherence", "emotion")}
    study["plan"] |= {"domains": ["travel"], "pairings": ["phi4-mini"]}
    for name in ("rubric-qwen", "rubric-gemma"):
        del study["judges"][name]
    study["acceptance"] = {
        "rule": "majority",
        "quorum": 1,
        "thresholds": {"coherence": 3},
        "weights": {"rubric-llama": 1.0},
    }
    del study["speech"]["orpheus"]
    study["speech"]["xtts"]["voices"] = {"a": "female", "b": "male"}
    study["speech"]["xtts"]["sampling"] = {
        "temperature": 0.7,
        "top_p": 0.9,
        "repetition_penalty": 1.1,
        "top_k": 50,
    }
    study["speech"]["xtts"] |= {"attempts": 3, "sampling_rate_hz": 24000, "tags": {"excited": "<laugh>"}}
    study["speech"]["xtts"]["mastering"] = {
        "lead_s": 0.05,
        "tail_s": 0.1,
        "loudness_lufs": -20.0,
        "peak_db": -1.0,
    }
    study["measures"] = {"prosody": {"min_f0_hz": 60.0, "max_f0_hz": 500.0}, "transcript": {"language": "en"}}
    return study


@pytest.mark.parametrize("kind", ["study", "site"])
def test_any_value_of_any_key_is_taken_or_refused_in_one_line_with_file_and_key(tmp_path, kind):
    table, load = (small_study(), load_study) if kind == "study" else (tomllib.loads(SITE), load_site)
    path = tmp_path / "hostile.toml"
    taken, seen = [], set()
    whole = lines(table)
    path.write_text("\n".join(whole.values()))
    load(str(path))
    for place in places(table):
        if shape(place) in seen:
            continue
        seen.add(shape(place))
        for value in HOSTILE:
            path.write_text(with_value(table, place, Raw(value), whole))
            try:
                load(str(path))
            except ConfigError as error:
                said = str(error)
                assert said.startswith(str(path)), (place, value, said)
                assert "\n" not in said, (place, value, said)
                assert len(said) - len(str(path)) < 1000, (place, value, said)
                assert "x" * 100 not in said, (place, value)
                assert "\x1b" not in said, (place, value)
                names = [name for name in place if isinstance(name, str)]
                across = "no judge of the study" in said  # scores it, if it is another key that is hostile
                assert across or any(name in said for name in names[-2:]), (place, value, said)
            else:
                taken.append((place, value))
    assert len(seen) > 50
    numbers = [place for place, value in taken if value in {HOSTILE[2], HOSTILE[3]}]
    assert not numbers, "every number has a range"
