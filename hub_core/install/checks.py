"""What must be true of a distribution before it is installed."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from hub_core import __version__
from hub_core.catalog import COMMANDS, GROUP, extends, label_of, normalized, version_of
from hub_core.errors import InstallError
from hub_core.install.content import Content
from hub_core.registry import Registry
from hub_core.wording import shown

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

SCHEMES = ("purelib", "platlib", "scripts", "data")


def writable() -> str:
    """Return why nothing can be installed into this environment, or an empty text."""
    place = sysconfig.get_path("purelib")
    try:
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as error:
        return f"{place} cannot be written: {error.strerror}"


def installed_named(name: str) -> metadata.Distribution | None:
    """Return the installed distribution of a name."""
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Return every installed distribution and its version; damaged ones are none."""
    from packaging.version import InvalidVersion, Version

    importlib.invalidate_caches()
    here: dict[str, str] = {}
    for found in metadata.distributions():  # of two of a name, the first one is imported
        with suppress(InvalidVersion):
            if Version(version_of(found)):
                here.setdefault(label_of(found), version_of(found))
    return here


def files_of(found: metadata.Distribution) -> Iterator[Path]:
    """Yield the files that an installed distribution says are its own."""
    for file in found.files or ():
        yield Path(os.path.normpath(str(file.locate())))


def is_plugin(found: metadata.Distribution) -> bool:
    """Return whether an installed distribution extends hub-core."""
    return any(extends(point.group) for point in found.entry_points)


def check(content: Content) -> None:
    """Refuse what is no plugin, or would put itself in the place of something else.

    Raises:
        InstallError: It does not fit this environment.
    """
    if not content.is_plugin:
        raise InstallError(
            f"{content.place} is no plugin: it has no entry point in the group {GROUP} or "
            f"{COMMANDS}",
            hint="nothing was installed",
        )
    before = installed_named(content.name)
    if before is not None and not is_plugin(before):
        raise InstallError(
            f"{content.place} would replace {content.name} {before.version}, which is no plugin",
            hint="do not install it",
        )
    _refuse_clashes(content)
    own = set(files_of(before)) if before is not None else set()
    for path in destinations(content):
        if path.is_file() and path not in own:
            raise InstallError(
                f"{content.place} would replace {path}, which is not its own",
                hint="do not install it; tell its authors",
            )


def _refuse_clashes(content: Content) -> None:
    for group, points in content.points.items():
        if group not in (GROUP, COMMANDS):
            continue
        for point in metadata.entry_points(group=group):
            other = label_of(point.dist) if point.dist else content.name
            if point.name in points and other != content.name:
                what = "plugin" if group == GROUP else "command"
                raise InstallError(
                    f"{content.label} brings a {what} named {point.name}, and so does {other}, "
                    "which is installed",
                    hint=f"'hub plugins uninstall {other}' makes room for it",
                )


def destinations(content: Content) -> Iterator[Path]:
    """Yield where the files of a wheel will be."""
    for name in content.files:
        top, _, rest = name.partition("/")
        if top.endswith(".data"):
            scheme, _, rest = rest.partition("/")
            if scheme in SCHEMES:
                yield Path(sysconfig.get_path(scheme), rest)
        elif not name.endswith("/"):
            yield Path(sysconfig.get_path("purelib"), name)
    ending = ".exe" if sys.platform == "win32" else ""
    for name in content.points.get("console_scripts", ()):
        yield Path(sysconfig.get_path("scripts"), name + ending)


def missing(content: Content, registry: Registry) -> list[str]:
    """Return the requirements that are not installed and that an index may serve.

    Raises:
        InstallError: What is installed does not fit, or another plugin must come first.
    """
    found = []
    for text, name, specifier in _applying(content):
        here = installed_named(name)
        version = __version__ if name == "hub-core" else here.version if here else ""
        if not version:
            if name in registry.plugins:
                raise InstallError(
                    f"{content.label} needs the plugin {name}, which is not installed",
                    hint=f"'hub plugins install {name}' first",
                )
            found.append(text)
        elif not specifier.contains(version, prereleases=True):
            this = f"this is {version}" if name == "hub-core" else f"installed is {version}"
            raise InstallError(
                f"{content.label} needs {name} {specifier}, {this}",
                hint=f"take a version of {content.name} for it, or change {name} first; "
                "nothing that is installed is replaced",
            )
    return found


def _applying(content: Content) -> Iterator[tuple[str, str, SpecifierSet]]:
    from packaging.requirements import InvalidRequirement, Requirement

    for text in content.requires:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            raise InstallError(
                f"{content.place} has a requirement that cannot be read: {shown(text)}",
                hint="tell its authors",
            ) from None
        applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if applies and wanted.url and installed_named(wanted.name) is None:
            raise InstallError(
                f"{content.label} needs {wanted.name} from {wanted.url}, which no registry lists",
                hint=f"install {wanted.name} yourself first",
            )
        if applies:
            yield text, normalized(wanted.name), wanted.specifier


def constraints(registry: Registry) -> Iterable[str]:
    """Return lines that keep what is installed, and keep listed plugins from any index."""
    here = versions()
    kept = [f"{name}=={version}" for name, version in sorted(here.items())]
    return [*kept, *(f"{name}<0" for name in registry.plugins if name not in here)]
