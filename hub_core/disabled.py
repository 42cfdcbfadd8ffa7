"""The plugins that this user has switched off, kept as JSON in the folder of settings.

A file that cannot be read switches nothing off, so that it never stands in the way; ``problem``
says what is wrong with it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hub_core.errors import PluginError

REPAIR = "delete it, or give HUB_CORE_CONFIG another folder"


def config_folder() -> Path:
    """Return where this user's settings are; ``HUB_CORE_CONFIG`` names another folder."""
    if own := os.environ.get("HUB_CORE_CONFIG"):
        return Path(own)
    base = os.environ.get("APPDATA" if os.name == "nt" else "XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "hub-core"


def path() -> Path:
    """Return the file."""
    return config_folder() / "plugins.json"


def names() -> frozenset[str]:
    """Return the names of the plugins that are switched off."""
    try:
        return _read()
    except (OSError, ValueError):
        return frozenset()


def problem() -> str:
    """Return why the file cannot be read, or an empty text."""
    try:
        _read()
    except (OSError, ValueError) as error:
        return f"{path()} cannot be read, so no plugin is disabled: {error}"
    return ""


def disable(name: str) -> None:
    """Switch a plugin off.

    Raises:
        PluginError: That cannot be written down.
    """
    _write({*_certain(), name})


def enable(name: str) -> None:
    """Switch a plugin on again.

    Raises:
        PluginError: That cannot be written down.
    """
    _write(_certain() - {name})


def _read() -> frozenset[str]:
    try:
        values = json.loads(path().read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    found = values.get("disabled", []) if isinstance(values, dict) else None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError('it must read {"disabled": ["NAME"]}')
    return frozenset(found)


def _certain() -> frozenset[str]:
    """Return what is switched off, and never overwrite a file that cannot be read."""
    if reason := problem():
        raise PluginError(reason, hint=REPAIR)
    return _read()


def _write(found: Iterable[str]) -> None:
    text = json.dumps({"disabled": sorted(found)}, indent=2) + "\n"
    try:
        config_folder().mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=config_folder(), prefix=".plugins-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, path())
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise PluginError(
            f"{path()} cannot be written: {error.strerror}",
            hint="the environment variable HUB_PLUGINS names the plugins that may be used, too",
        ) from None
