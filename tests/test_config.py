"""What a study and a site refuse, and how they say it."""

import shutil

import pytest

from builder.config import load_site, load_study, resources
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
            "key 'plan.dialogues_per_cell' is '2': Expected `int`",
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


def test_an_address_that_is_none_is_left_to_its_backend_to_refuse(tmp_path):
    assert (
        site(tmp_path, '[models."*"]\nbackend = "tgi"\nurl = "http://[::1"\n').models["*"]["url"]
        == "http://[::1"
    )
