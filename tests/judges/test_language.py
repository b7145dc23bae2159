import pytest

from builder.errors import ConfigError

SAID = {
    "de": "Ich habe gestern mit meiner Schwester einen wunderbaren Film gesehen, und du?",
    "en": "I watched a wonderful film with my sister yesterday, and what about you?",
    "es": "Ayer vi una película maravillosa con mi hermana, ¿y tú qué has visto?",
    "fr": "J'ai vu un film magnifique avec ma s\u0153ur hier soir, et toi, tu vas bien ?",
    "it": "Ieri ho visto un film meraviglioso con mia sorella, e tu che cosa hai fatto?",
    "nl": "Ik heb gisteren met mijn zus een prachtige film gezien, en wat heb jij gedaan?",
    "pt": "Ontem vi um filme maravilhoso com a minha irmã, e você, o que é que fez?",
    "ar": "شاهدت أمس فيلما رائعا مع أختي",
    "el": "Χθες είδα μια υπέροχη ταινία.",
    "he": "ראיתי אתמול סרט נפלא עם אחותי",
    "hi": "मैंने कल अपनी बहन के साथ फिल्म देखी",
    "ja": "昨日、妹とすばらしい映画を見ました。",
    "ko": "어제 동생과 멋진 영화를 봤어요.",
    "ru": "Вчера мы с сестрой смотрели чудесный фильм.",  # noqa: RUF001
    "th": "เมื่อวานฉันดูหนังกับน้องสาว",
    "zh": "昨天我和妹妹看了一部很棒的电影。",
}


@pytest.mark.parametrize("language", SAID)
@pytest.mark.parametrize("said", SAID)
def test_each_listed_language_passes_as_itself_and_as_no_other(fault, held, language, said):
    found = fault("language", held(SAID[language], SAID[said]), language=language)
    # Chinese characters alone are Japanese too.
    assert (found is None) == (said == language or (language, said) == ("ja", "zh"))
    if found:
        assert found.startswith("turn 2 ")


def test_the_evidence_is_told(fault, held):
    assert fault("language", held("Ich weiß nicht, ob das so gut ist.")) == (
        "turn 1 reads as 'de', not 'en': of its 8 words 4 are common there and 1 here"
    )
    assert fault("language", held("I'm so 激动 about it!")) == (
        "turn 1 is not all in 'en': 15% of its letters are CJK"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Tiramisu, lasagne, gnocchi al pesto: I want all of it!",
        "I love croissants, pains au chocolat and crème brûlée from that little pâtisserie!",
        "We saw La Dolce Vita, La La Land and Il Postino in one weekend.",
        "C'est la vie, mon ami!",
        "Mykonos, Santorini, Naxos, Paros, Ios, Milos!",
        "Die Hard was on, man, so I stayed in!",
        "My tattoo says λ, the half-life sign, can you believe it?",
        "Oh wow... 5 to 3!!! \u2764",
        "Zażółć gęślą jaźń, mój drogi, kochany przyjacielu.",
        "?!",
    ],
)
def test_names_loan_words_and_what_it_cannot_tell_pass_as_english(fault, held, text):
    assert fault("language", held(text)) is None


def test_a_turn_too_short_for_common_words_is_judged_by_its_script_alone(fault, held):
    assert fault("language", held("Ja, das ist gut.")) is None
    assert fault("language", held("Ja, das ist gut."), min_words=4) is not None
    assert fault("language", held("好的!")) == "turn 1 is not all in 'en': 100% of its letters are CJK"


def test_a_language_it_cannot_tell_is_refused_by_name(fault, held):
    with pytest.raises(ConfigError, match="key 'language' is 'eo'"):
        fault("language", held("Hello there!"), language="eo")


def test_the_largest_foreign_share_itself_is_allowed(fault, held):
    assert fault("language", held("abcdefghi\u03bb")) is None
    assert fault("language", held("abcdefgh\u03bb\u03bb")) is not None
