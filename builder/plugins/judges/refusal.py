"""Refusal: a turn in which the model shows through the friend it plays.

Law of the file: what generation refuses in a reply is refused here by the same patterns; only leaks of the
prompt are added.
"""

import re

from builder.core.dialogue import Dialogue
from builder.core.reply import REFUSAL, breach
from builder.plugins.judges import Context, Rule

_LEAK = re.compile(
    r"\bemotion (?:you|I) feel\s*(?::|is\b|at (?:this|that) moment|$)"
    r"|\bemotion I(?: am|[\u2019']m| was|[\u2019']ve been) (?:given|asked|told|supposed|meant)"
    r"|\b(?:given|assigned|specified|requested) emotion\b"
    r"|\brespond (?:as|like) (?:a|your) (?:close )?friend\b"
    r"|\bhere(?:[\u2019']s| is) (?:my|a) (?:response|reply)(?::| (?:that|in|with|to (?:your|that))\b)",
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"\bword limit\b|\b(?:at most|no more than|under|within) \d+ words\b|\b\d+ words or (?:less|fewer)\b",
    re.IGNORECASE,
)
_WRITING = re.compile(
    r"\b(?:abstract|application|article|assignment|bio|blog|caption|contest|cover letter|essay|homework|novel"
    r"|paper|poem|post|report|statement|thesis|tweet)s?\b|\bstor(?:y|ies)\b",
    re.IGNORECASE,
)


class Refusal(Rule):
    """Finds turns that refuse, speak as an assistant, label a speaker or repeat the prompt."""

    def fault(self, dialogue: Dialogue, context: Context) -> str | None:  # noqa: ARG002 - the contract's
        """Names the turn and what gave the model away."""
        for number, turn in enumerate(dialogue.turns, 1):
            if found := REFUSAL.search(turn.text):
                return f"turn {number} refuses or speaks as an assistant: {found[0]!r}"
            # Friends who speak of an essay may well speak of its word limit.
            limit = None if _WRITING.search(turn.text) else _LIMIT.search(turn.text)
            if found := _LEAK.search(turn.text) or limit:
                return f"turn {number} repeats its instructions: {found[0]!r}"
            if breach(turn.text, "stop", len(turn.text)) == "role label":
                return f"turn {number} labels a speaker or holds a chat marker"
        return None
