"""The people whose answers the evidence rests on.

Law of the file: whom the report is told to leave out, and whom a plan leaves out for their checks, is left out everywhere.
"""

from builder.core.annotation import Annotation
from builder.errors import ConfigError, nearest
from builder.evidence.findings import Evidence
from builder.people.annotations import annotations, annotators, heeded
from builder.people.listening import Results, listeners, results


def check_people(evidence: Evidence) -> None:
    """Makes sure that whoever is to be left out takes part.

    Raises:
        ConfigError: one neither annotates nor listens.
    """
    folder = evidence.run.folder
    known = sorted({*annotators(folder), *listeners(folder)})
    for name in evidence.options.without:
        if name not in known:
            raise ConfigError(f"{name!r} is no annotator or listener of {folder}: {nearest(name, known)}")


def said(evidence: Evidence) -> tuple[Annotation, ...]:
    """What everybody who counts said of the sample."""
    folder = evidence.run.folder
    return annotations(folder, evidence.without(annotators(folder)))


def notes(evidence: Evidence) -> tuple[str, ...]:
    """On annotators who failed a check or are left out, a sentence each."""
    folder = evidence.run.folder
    return heeded(folder, evidence.without(annotators(folder))).notes


def heard(evidence: Evidence) -> Results:
    """What listeners who count answered.

    Raises:
        RunError: there is no listening study in this run.
    """
    return results(evidence.run, evidence.without(listeners(evidence.run.folder)))
