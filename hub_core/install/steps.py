"""Install one plugin: find it, look inside, ask, show the commands, run them, or put all back."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from hub_core.catalog import normalized
from hub_core.errors import InstallError
from hub_core.install.checks import (
    check,
    constraints,
    destinations,
    installed_named,
    missing,
    writable,
)
from hub_core.install.content import Content
from hub_core.install.kept import keep
from hub_core.install.tools import Say, Tool, run, shown, tool
from hub_core.install.wanted import Wanted, hashed, wanted
from hub_core.registry import Registry

Ask = Callable[[str], bool]


def install(text: str, registry: Registry, *, ask: Ask, say: Say, dry_run: bool = False) -> str:
    """Install a plugin for the running interpreter.

    What a registry lists, by the hash of its wheel or of its code, is installed unasked.

    Args:
        text: A listed name, or the path of a wheel or of a folder.
        registry: What is listed.
        ask: Gets a question about what is not listed, and returns whether the answer is yes.
        say: Is told each command before it is run.
        dry_run: Do all but change the environment.

    Returns:
        A sentence that says what was done.

    Raises:
        InstallError: It was not installed; the environment is as it was.
        PluginError: The folder is none of a plugin.
    """
    if already := _already(text, registry):
        return f"{already} is installed already"
    installer = tool()
    if (reason := writable()) and not dry_run:
        raise InstallError(reason, hint="make a virtual environment of your own: python -m venv")
    with tempfile.TemporaryDirectory(prefix="hub-install-") as place:
        work = Path(place)
        found = wanted(text, registry, installer, work, say)
        check(found.content)
        commands = _commands(found, registry, installer, work)
        if dry_run:
            _tell(commands, work, say)
            doubt = f"; it would be asked about: {found.doubt}" if found.doubt else ""
            return f"{found.content.label} would be installed, nothing was changed{doubt}"
        if found.doubt and not ask(question(found)):
            raise InstallError(
                f"{found.content.label} was not installed: {found.doubt}",
                hint="look at where it comes from, then answer y or give --yes",
            )
        _run(found.content, commands, work, say)
        return f"installed {_now(found.content)}"


def _already(text: str, registry: Registry) -> str:
    """Return name and version of what is installed, if that is what is listed or newer."""
    from packaging.version import InvalidVersion, Version

    entry, here = registry.plugins.get(normalized(text)), installed_named(text)
    if entry is None or here is None:
        return ""
    with suppress(InvalidVersion):
        if Version(here.version) >= Version(entry.version):
            return f"{normalized(text)} {here.version}"
    return ""


def question(found: Wanted) -> str:
    """Return what a user is asked before something unlisted is installed."""
    return (
        f"{found.doubt[0].upper()}{found.doubt[1:]}. An installed plugin can do everything that "
        f"you can do. Install {found.content.label}?"
    )


def _commands(
    found: Wanted, registry: Registry, installer: Tool, work: Path
) -> list[tuple[str, ...]]:
    """Return the commands: first what it needs and is not there, then itself and only that."""
    commands = []
    if needed := missing(found.content, registry):
        path = work / "constraints.txt"
        path.write_text("\n".join(constraints(registry)) + "\n", encoding="utf-8")
        commands.append(installer.install("--constraint", str(path), *needed))
    again = ("--force-reinstall",) if installed_named(found.content.name) else ()
    if found.sha256:
        commands.append(installer.install(*again, *hashed(found, work)))
    else:
        build = _built_here(found.source)
        commands.append(installer.install(*again, "--no-deps", *build, found.requirement))
    return commands


def _built_here(source: Path | None) -> tuple[str, ...]:
    """Build with the back end that is here, where it is: then nothing is fetched to build."""
    if source is None:
        return ()
    from hub_core.scaffold.project import read

    project = read(source)
    back_end = re.split("[.:]", project.backend)[0]
    here = not project.backend_path and find_spec(back_end) is not None
    return ("--no-build-isolation",) if here else ()


def _tell(commands: list[tuple[str, ...]], work: Path, say: Say) -> None:
    for command in commands:
        say(shown(command))
    if (path := work / "requirements.txt").is_file():
        say(f"# {path} holds: {path.read_text('utf-8').strip()}")
    if (path := work / "constraints.txt").is_file():
        say(f"# {path} keeps every installed distribution as it is")


def _run(content: Content, commands: list[tuple[str, ...]], work: Path, say: Say) -> None:
    before = keep(content.name, destinations(content), work / "before")
    try:
        for command in commands:
            if code := run(command, say):
                raise InstallError(
                    f"{content.label} was not installed: the last command ended with {code}",
                    hint="what it said stands above; the environment is as it was",
                )
        if not _is_there(content):
            raise InstallError(
                f"{content.label} was not installed: the commands changed nothing here",
                hint="settings of pip may lead elsewhere: python -m pip config list",
            )
    except BaseException as error:
        if differs := before.restore():
            raise InstallError(
                f"{content.label} was not installed, and these differ from before: "
                f"{', '.join(differs)}",
                hint="'python -m pip check' tells what is missing",
            ) from error
        raise


def _is_there(content: Content) -> bool:
    importlib.invalidate_caches()
    here = installed_named(content.name)
    return here is not None and content.version in ("0", here.version)


def _now(content: Content) -> str:
    """Return name and version as installed."""
    importlib.invalidate_caches()
    here = installed_named(content.name)
    return content.name if here is None else f"{content.name} {here.version}"
