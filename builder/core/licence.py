"""Which licences a dataset may have, given whose voices speak in it.

    XTTS-v2         its weights are under the Coqui Public Model License 1.0.0: the model and its outputs for non-commercial
                    use only (https://coqui.ai/cpml, https://huggingface.co/coqui/XTTS-v2)
    RAVDESS         CC BY-NC-SA 4.0 (Livingstone & Russo 2018, https://doi.org/10.5281/zenodo.1188976), for clips that a voice is
                    taken from
    published       the published DeepDialogue, taken in by `ingest`: CC BY-NC 4.0 (arXiv 2505.19978)
    Orpheus, SNAC   Apache-2.0 and MIT (https://huggingface.co/canopylabs/orpheus-3b-0.1-ft, https://github.com/hubertsiuzdak/snac):
                    ask nothing of what is made with them

Law of the file: it names a contradiction that can be told from names, and is no advice on law.
"""

import re
from collections.abc import Iterable

_NON_COMMERCIAL = re.compile(r"(^|-)nc(-|$)|^other$")
"""As the Hub names licences; `other` is the publisher's own text, which it is theirs to answer for."""
_XTTS = re.compile(r"xtts-v2(?! \(published\))", re.IGNORECASE)
_ACTOR = re.compile(r"actor-(0[1-9]|1[0-9]|2[0-4])")


def contradiction(licence: str, engines: Iterable[str], voices: Iterable[str]) -> str | None:
    """Why a dataset cannot have this licence; None where nothing is known against it.

    Args:
        licence: as the Hub names it, such as `cc-by-nc-4.0`.
        engines: what spoke, as the column `engine` says.
        voices: whose voices, as `first_voice` and `second_voice` say.
    """
    if _NON_COMMERCIAL.search(licence.lower()):
        return None
    used = non_commercial(engines, voices)
    if not used:
        return None
    return f"the licence {licence!r} allows commercial use, which {' and '.join(used)} do not"


def non_commercial(engines: Iterable[str], voices: Iterable[str]) -> list[str]:
    """What speaks in a dataset and may not be used commercially, each with its licence; arguments as for `contradiction`."""
    used = [f"{engine} (CPML)" for engine in sorted(set(engines)) if _XTTS.match(engine)]
    used += [f"{engine} (CC BY-NC 4.0)" for engine in sorted(set(engines)) if "(published)" in engine]
    if actors := sum(bool(_ACTOR.fullmatch(voice)) for voice in set(voices)):
        used.append(f"{actors} voices of RAVDESS (CC BY-NC-SA 4.0)")
    return used
