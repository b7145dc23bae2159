"""From a table of settings to a plug-in: the folder is the registry, the record's fields are the settings.

Law of the file: it knows no plug-in by name, and finding one imports nothing but that one.
"""

import importlib
import pkgutil
import sys
from typing import Any, TypeVar

from builder.errors import ConfigError, nearest
from builder.records import Place, Record, brief, convert

R = TypeVar("R", bound=Record)


def names(contract: type[Record]) -> list[str]:
    """The plug-ins of a contract: the files of the folder that defines it, sorted."""
    folder = importlib.import_module(contract.__module__)
    return sorted(
        module.name for module in pkgutil.iter_modules(folder.__path__) if not module.name.startswith("_")
    )


def find(contract: type[R], name: str, where: str) -> type[R]:
    """The one record of the contract that the plug-in's file defines.

    Raises:
        ConfigError: there is no such file.
    """
    whole = f"{contract.__module__}.{name}"
    # What is imported was found before, and the folder need not be read again.
    if (whole not in sys.modules or name.startswith("_") or "." in name) and name not in names(contract):
        raise ConfigError(
            f"{where}: no {contract.__name__.lower()} {brief(name)}: {nearest(name, names(contract))}"
        )
    module = importlib.import_module(whole)
    (record,) = (
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, contract) and kind.__module__ == module.__name__
    )
    return record


def make(contract: type[R], table: dict[str, Any], where: str | Place, default: str | None = None) -> R:
    """Makes the plug-in that a table of settings describes.

    Args:
        contract: what it must be: `Backend`, `Judge`, `Engine` or `Check`.
        table: its settings, and its file's name under the contract's own name (`backend = "tgi"`).
        where: the file and key of the table, for the message; or what tells them of a key in the table.
        default: the file's name where the table does not say.

    Raises:
        ConfigError: no such plug-in, an unknown setting or a wrong type.
    """
    key = contract.__name__.lower()
    settings = {name: value for name, value in table.items() if name != key}
    chosen = table.get(key, default)
    told = ": ".join(filter(None, where(""))) if callable(where) else where
    if not isinstance(chosen, str):
        raise ConfigError(f"{told}: {key} is not named: one of {', '.join(names(contract))}")
    return convert(settings, find(contract, chosen, told), where)
