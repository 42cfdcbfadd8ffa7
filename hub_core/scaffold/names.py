"""Every name that a new plugin needs, made of one and checked before a file is written."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from hub_core.catalog import installed
from hub_core.declare import NAME, Kind
from hub_core.errors import PluginError

CORE = "hub-core"
USED = frozenset(
    {"Any", "Backbone", "Batch", "BaseMismatchError", "ClassVar", "Clock", "Column", "Context",
     "DataError", "Encoded", "Example",
     "Field", "Head", "Identity", "Iterator", "Layout", "Losses", "Mapping", "Method", "Options",
     "Output", "Part", "Path", "Prediction", "Row", "Sequence", "Task", "TaskModel", "Tensor",
     "Tokens"}
)  # fmt: skip
"""What the files of a new plugin import: its own class must not take such a name."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a new plugin.

    Args:
        distribution: What pip calls it, such as ``hub-mymethod``.
        kind: What its method is.
        package: What Python imports, such as ``hub_mymethod``.
        method: What recipes call it, such as ``mymethod``.
        class_name: Its class, such as ``Mymethod``.
    """

    distribution: str
    kind: Kind
    package: str
    method: str
    class_name: str


def names_for(distribution: str, kind: Kind, method: str = "") -> Names:
    """Return all names of a new plugin.

    Args:
        distribution: Its distribution's name.
        kind: What its method is.
        method: The method's name; the distribution's without ``hub-`` unless given.

    Raises:
        PluginError: A name cannot be used, or is taken in this environment.
    """
    _check_distribution(distribution)
    package = distribution.replace("-", "_")
    _check_package(package, distribution)
    method = method or distribution.removeprefix("hub-")
    _check_method(method, kind)
    return Names(distribution, kind, package, method, _class_name(method, kind))


def _check_distribution(name: str) -> None:
    if not NAME.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f"such as {better}" if NAME.fullmatch(better) else "such as hub-mymethod"
        raise PluginError(
            f"'{name}' cannot be the name of a plugin: it must be lowercase letters and digits "
            "in words that start with a letter, with single hyphens between them",
            hint=hint,
        )
    if name == CORE or name.startswith(f"{CORE}-"):
        raise PluginError(f"'{name}' would be taken for the core", hint="such as hub-mymethod")
    if any(_normal(found) == name for found in _distributions()):
        raise PluginError(
            f"a distribution named '{name}' is installed here already",
            hint="choose another name: two of one name cannot be installed together",
        )


def _distributions() -> list[str]:
    return [str(found.metadata["Name"]) for found in metadata.distributions()]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _check_package(package: str, distribution: str) -> None:
    reason = ""
    if keyword.iskeyword(package):
        reason = "is a word of the language"
    elif package in sys.stdlib_module_names:
        reason = "is a module of the standard library"
    elif find_spec(package) is not None:
        reason = "can be imported here already"
    if reason:
        raise PluginError(
            f"'{distribution}' cannot be the name of a plugin: its package would be '{package}', "
            f"which {reason}",
            hint=f"such as hub-{distribution.removeprefix('hub-')}"
            if not distribution.startswith("hub-")
            else "choose another name",
        )


def _check_method(name: str, kind: Kind) -> None:
    if not NAME.fullmatch(name):
        raise PluginError(
            f"'{name}' cannot be the name of a method: it must be lowercase letters and digits "
            "in words that start with a letter, with single hyphens between them",
            hint="name it with --method",
        )
    for provided in installed().methods(kind):
        if provided.method.name == name:
            raise PluginError(
                f"there is a {kind} named '{name}' already, from {provided.plugin.name}",
                hint="name yours otherwise with --method",
            )


def _class_name(method: str, kind: Kind) -> str:
    name = "".join(word.capitalize() for word in method.split("-"))
    taken = keyword.iskeyword(name) or name in USED or hasattr(builtins, name)
    return name + kind.capitalize() if taken else name
