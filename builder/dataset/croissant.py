"""Croissant: the packaged folder as machines that know no `datasets` read it, in one JSON-LD file.

Croissant 1.0 (http://mlcommons.org/croissant/1.0) with words of its Responsible AI vocabulary. Record sets and fields are named
as the Hub names those of the file it makes itself, `CONFIG/COLUMN` with the same types. Beyond that file this one has the labels'
names, checksums, citation and limits, describes the shards themselves and not a conversion of them, and needs no Hub.
Law of the file: fields come from `deepdialogue.features` and nowhere else; the same dataset is the same bytes, so that a date is
in it only where it was published.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import datasets

import deepdialogue
from builder.config import Study
from builder.dataset.manifest import CROISSANT, Index
from builder.dataset.shards import Contract

PATH = CROISSANT

_TYPES = {
    "string": "sc:Text",
    "bool": "sc:Boolean",
    "int32": "cr:Int32",
    "float32": "cr:Float32",
    "float64": "cr:Float64",
}
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As the specification gives it."""


def croissant(
    study: Study,
    description: str,
    citation: str,
    contracts: Iterable[Contract],
    indexes: Sequence[Index],
    limits: Sequence[str],
) -> bytes:
    """Describes a packaged folder.

    Args:
        study: what was made.
        description: in a sentence or two.
        citation: in BibTeX.
        contracts: of every config in the folder.
        indexes: the folder's, whose digests cover every clip.
        limits: what a user has to know, a sentence each.

    Returns:
        JSON-LD, in UTF-8.
    """
    enumerations: dict[str, Sequence[str]] = {}
    records = [_record_set(contract, enumerations) for contract in contracts]
    names = [record["@id"] for record in records]
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": study.name,
        "alternateName": study.title,
        "description": description,
        "license": study.licence,
        "inLanguage": study.language,
        "keywords": ["spoken dialogue", "emotion", "synthetic speech"],
        "citeAs": citation,
        "rai:dataCollection": "Written by language models, spoken by speech synthesis; the card says which.",
        "rai:personalSensitiveInformation": "None is asked for: no person wrote or said any of it.",
        "rai:dataLimitations": list(limits),
        "distribution": [
            *(_file_set(name) for name in names),
            *(_file_object(index) for index in indexes),
        ],
        "recordSet": [*(_enumeration(name, labels) for name, labels in enumerations.items()), *records],
    }
    return json.dumps(described, ensure_ascii=False, indent=1).encode(errors="replace") + b"\n"


def with_version(described: bytes, version: str, published: date) -> bytes:
    """The same of a version that was published.

    Args:
        described: as it was packaged, or published before.
        version: such as `1.2.0`.
        published: the day.
    """
    told = f'\n "version": "{version}",\n "datePublished": "{published.isoformat()}",'
    return without_version(described).replace(_LICENSE, told.encode() + _LICENSE, 1)


def without_version(described: bytes) -> bytes:
    """As it was packaged."""
    return _VERSION.sub(b"", described, count=1)


_LICENSE = b'\n "license": '
_VERSION = re.compile(rb'\n "version": "[^"\n]*",\n "datePublished": "[^"\n]*",(?=' + _LICENSE + rb")")


def _file_set(config: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"parquet-files-for-config-{config}",
        "encodingFormat": "application/x-parquet",
        "includes": [f"{config}/{split}/*.parquet" for split in deepdialogue.SPLITS],
    }


def _file_object(index: Index) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": index.path,
        "name": index.path,
        "contentUrl": index.path,
        "contentSize": f"{index.num_bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": index.sha256,
    }


def _enumeration(name: str, labels: Sequence[str]) -> dict[str, Any]:
    """The names behind the numbers of one label."""
    number, label = f"{name}/number", f"{name}/name"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "dataType": "sc:Enumeration",
        "key": {"@id": number},
        "field": [
            {"@type": "cr:Field", "@id": number, "name": number, "dataType": "sc:Integer"},
            {"@type": "cr:Field", "@id": label, "name": label, "dataType": ["sc:Text", "sc:name"]},
        ],
        "data": [{number: place, label: text} for place, text in enumerate(labels)],
    }


def _record_set(contract: Contract, enumerations: dict[str, Sequence[str]]) -> dict[str, Any]:
    config = contract[0]
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "description": "One row is one turn." if config.endswith("-turns") else "One row is one dialogue.",
        "key": {"@id": f"{config}/id"},
        "field": [
            _field(f"{config}/{column}", column, feature, (config, column), enumerations)
            for column, feature in deepdialogue.features(*contract).items()
        ],
    }


def _field(
    id: str,
    name: str,
    feature: Any,
    column: tuple[str, str],
    enumerations: dict[str, Sequence[str]],
    path: str = "",
) -> dict[str, Any]:
    """One column, or a part of one, which lies at `path` in every value of it."""
    found: dict[str, Any] = {"@type": "cr:Field", "@id": id, "name": id}
    config, source_column = column
    # `datasets` 3 keeps a list of one feature as it is, later ones make it an object.
    inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
    if inner is not None:
        return _field(id, name, inner, column, enumerations) | {"repeated": True}
    if isinstance(feature, dict):
        parts = [
            _field(f"{id}/{part}", part, one, column, enumerations, part) for part, one in feature.items()
        ]
        return found | {"subField": parts}
    if isinstance(feature, datasets.Audio):
        kind, path = "sc:AudioObject", "bytes"
    elif isinstance(feature, datasets.ClassLabel):
        kind = "sc:Integer"
        labels = f"labels-{name.removeprefix('first_').removeprefix('second_')}"
        enumerations[labels] = feature.names
        found["references"] = {"field": {"@id": f"{labels}/number"}}
    else:
        kind = _TYPES[feature.dtype]
    source: dict[str, Any] = {
        "fileSet": {"@id": f"parquet-files-for-config-{config}"},
        "extract": {"column": source_column},
    }
    if path:
        source["transform"] = {"jsonPath": path}
    return found | {"dataType": kind, "source": source}
