"""Language: a turn that falls out of the study's language.

Two kinds of evidence, and no model: the script, at any length, and the commonest words of a language, in
turns long enough to have some. What neither can tell passes: names, loan words, and languages that are not
listed here (a Polish turn in an English dialogue, a Persian one in an Arabic dialogue).

Law of the file: a word common in both languages speaks for the study's own.
"""

import unicodedata
from collections import Counter
from typing import Annotated, Literal

import msgspec

from builder.core.dialogue import Dialogue
from builder.core.word import normal, words
from builder.plugins.judges import Context, Rule

_LATIN = frozenset({"LATIN"})
_SCRIPTS = {
    "ar": frozenset({"ARABIC"}),
    "el": frozenset({"GREEK"}),
    "he": frozenset({"HEBREW"}),
    "hi": frozenset({"DEVANAGARI"}),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
    "ko": frozenset({"HANGUL"}),
    "ru": frozenset({"CYRILLIC"}),
    "th": frozenset({"THAI"}),
    "zh": frozenset({"CJK"}),
}
_KNOWN = _LATIN.union(*_SCRIPTS.values())
_WORDS = {
    language: frozenset(common.split())
    for language, common in {
        "de": "der die das den dem des ein eine einen einem einer und oder aber ich du er sie wir ihr mich"
        " dich mir dir uns ist sind bin bist war waren habe hast hat haben nicht kein keine auch noch"
        " schon sehr mit von zu zum zur auf für bei nach aus wie was wenn weil dass mein meine dein"
        " deine so im am in es ja nein doch mal",
        "en": "the a an and or but if so i you he she it we they me him her us them my your his its our"
        " their is are am was were be been being do does did have has had not no to of in on at for"
        " from with by about as that this these those there what who how when where why which can"
        " could will would should may might must just really very more all some any one out up down"
        " like get got know think oh s t m re ve ll d don",
        "es": "el la los las un una unos unas y o pero de del al en con por para que qué como cómo cuando"
        " donde yo tú él ella nosotros ellos me te se lo le nos mi tu su es son soy eres está estoy"
        " están ser fue era hay ha he has han no sí ya muy más también esto eso esta este todo",
        "fr": "le la les un une des du de et ou mais je tu il elle on nous vous ils elles me te se ce cette"
        " ces mon ma mes ton ta tes son sa ses est sont suis es était être avoir ai as a ont pas ne"
        " que qui quoi où quand comme dans sur avec pour par en au aux très plus aussi tout c j l d n"
        " qu y oui toi moi bien fait",
        "it": "il lo la i gli le un uno una e o ma di del della dei delle da dal in nel nella con su per"
        " tra che chi cosa come quando dove io tu lui lei noi voi loro mi ti si ci mio mia tuo tua suo"
        " sua è sono sei era ho hai ha hanno non più anche molto questo questa quello al alla ai sì",
        "nl": "de het een en of maar ik jij je hij zij ze wij we jullie mij me jou ons mijn jouw zijn is"
        " ben bent was waren heb hebt heeft hebben niet geen ook nog al heel erg met van voor naar bij"
        " uit op aan in te dat die dit deze wat wie hoe als waar wanneer er om dan zo ja nee",
        "pt": "o a os as um uma e ou mas de do da dos das em no na nos nas com por para que como quando"
        " onde eu tu você ele ela nós eles elas me te se lhe meu minha seu sua é são sou está estou"
        " estão ser foi era há tem tenho não sim já muito mais também isso isto este esta esse essa ao"
        " à pelo pela",
    }.items()
}


class Language(Rule):
    """Finds turns in another script, or in another of the languages it can tell apart."""

    language: Literal[
        "ar", "de", "el", "en", "es", "fr", "he", "hi", "it", "ja", "ko", "nl", "pt", "ru", "th", "zh"
    ] = "en"
    """The study's language, by its ISO 639-1 code."""
    max_foreign_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    """The largest share of a turn's letters that may be of a script the language is not written in."""
    min_words: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 6
    """A turn with fewer words is judged by its script alone."""

    def fault(self, dialogue: Dialogue, context: Context) -> str | None:  # noqa: ARG002 - the contract's
        """Names the turn and the evidence."""
        for number, turn in enumerate(dialogue.turns, 1):
            if reason := self._foreign_script(turn.text) or self._foreign_words(turn.text):
                return f"turn {number} {reason}"
        return None

    def _foreign_script(self, text: str) -> str | None:
        if text.isascii() and _SCRIPTS.get(self.language, _LATIN) >= _LATIN:
            return None
        scripts = Counter(
            script
            for letter in normal("NFKC", text)
            if letter.isalpha() and (script := unicodedata.name(letter, "").partition(" ")[0]) in _KNOWN
        )
        own = _SCRIPTS.get(self.language, _LATIN)
        foreign = sorted(scripts.keys() - own)
        share = sum(scripts[script] for script in foreign) / max(scripts.total(), 1)
        if share <= self.max_foreign_share:
            return None
        return f"is not all in {self.language!r}: {share:.0%} of its letters are {' and '.join(foreign)}"

    def _foreign_words(self, text: str) -> str | None:
        if len(words(text)) < self.min_words or self.language not in _WORDS:
            return None
        # The lists hold "c" and "est", so that every elision and contraction need not be listed.
        spoken = " ".join(words(text)).replace("'", " ").split()
        own = _WORDS[self.language]
        strange = [word for word in spoken if word not in own]
        count = {name: sum(word in common for word in strange) for name, common in _WORDS.items()}
        likeliest = max(count, key=count.__getitem__)
        natural = sum(word in own for word in spoken)
        if count[likeliest] <= natural:
            return None
        return (
            f"reads as {likeliest!r}, not {self.language!r}: of its {len(spoken)} words"
            f" {count[likeliest]} are common there and {natural} here"
        )
