import pytest

from builder.core.licence import contradiction

XTTS = "XTTS-v2 0123456789ab (coqui-tts 0.28.1)"


@pytest.mark.parametrize("licence", ["cc-by-nc-4.0", "cc-by-nc-sa-4.0", "CC-BY-NC-ND-4.0", "other"])
def test_a_non_commercial_licence_contradicts_no_voice(licence):
    assert contradiction(licence, [XTTS, "Orpheus (published)"], ["actor-01"]) is None


@pytest.mark.parametrize("licence", ["mit", "apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "", "encrypted"])
@pytest.mark.parametrize(
    ("engine", "voice", "named"),
    [
        (XTTS, "ann", "CPML"),
        ("Orpheus 3b", "actor-24", "1 voices of RAVDESS"),
        ("Orpheus (published)", "unknown", "CC BY-NC 4.0"),
        ("XTTS-v2 (published)", "unknown", "CC BY-NC 4.0"),
    ],
)
def test_a_licence_that_allows_commerce_is_refused_where_a_voice_does_not(licence, engine, voice, named):
    fault = contradiction(licence, [engine], [voice])
    assert fault is not None
    assert repr(licence) in fault
    assert named in fault


def test_voices_that_ask_for_nothing_go_with_any_licence():
    assert contradiction("mit", ["Orpheus 3b", "espeak-ng"], ["tara", "actor-25", "actor-1"]) is None
