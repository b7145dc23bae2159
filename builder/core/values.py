"""What a value in a study or a site may be: every number has a range, every name a rule, and each says so in words.

Law of the file: a type is an alias with its bounds; where a pattern says less than words do, the words stand beside it.
"""

from typing import Annotated

import msgspec

RESERVED = r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)(\.|\Z))"
"""Names that a file cannot have everywhere."""

Name = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"\A{RESERVED}\w([\w.+@ -]{{0,98}}[\w+])?\Z",
        description="a name of 1 to 100 letters, digits and . - _ + @, none of which a file could not have",
    ),
]
"""Of what is named in a study, and may be part of a file's name."""
Names = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, description="a list of at least one name")]
Line = Annotated[
    str,
    msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f]{1,300}\Z", description="one line of 1 to 300 characters"),
]
Prose = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A(?=[\s\S]*\S)[^\x00-\x08\x0b-\x1f\x7f]{1,100000}\Z",
        description="text of at most 100000 characters, not empty, without control characters",
    ),
]
Label = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9.+-]{0,99}\Z",
        description="a name such as cc-by-nc-4.0, as the Hub has it",
    ),
]
Language = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}\Z",
        description="a language's code, such as en or pt-BR",
    ),
]
HubId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A(?!.*(--|\.\.|\.git\Z))[A-Za-z0-9_]([\w.-]{0,94}[A-Za-z0-9_])?/[A-Za-z0-9_]([\w.-]{0,94}[A-Za-z0-9_])?\Z",
        description="a repository of the Hub, ORG/NAME: letters, digits and single . - _, none of . - at an end",
    ),
]
Revision = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A(?!.*(\.\.|//|/\Z))[A-Za-z0-9_][\w./-]{0,199}\Z",
        description="a commit, a tag or a branch: letters, digits and . - _ /",
    ),
]

Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Attempts = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Words = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Nucleus = Annotated[float, msgspec.Meta(gt=0, le=1)]
Heat = Annotated[float, msgspec.Meta(ge=0, le=5)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Pause = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Weight = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
Money = Annotated[float, msgspec.Meta(ge=0, le=1_000_000_000)]
