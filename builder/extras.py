"""Libraries that not everyone needs: imported on use, and named with their repair when they are missing.

Law of the file: only an extra of `pyproject.toml` is imported through here.
"""

import importlib
from typing import Any

from .errors import ConfigError


def extra(module: str, name: str) -> Any:
    """Imports `module`, which the extra `name` installs.

    Raises:
        ConfigError: it is not installed, or it does not load; says what to install.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"{module} cannot be imported ({error}): pip install 'deepdialogue[{name}]' installs it"
        ) from None
