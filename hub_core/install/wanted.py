"""What a user means by a name, a folder or a wheel, and whether a registry lists just that.

A bare word is a name that a registry must list; it never becomes a requirement for an index.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from hub_core.catalog import normalized
from hub_core.errors import InstallError, near
from hub_core.identity import sha256_of
from hub_core.install.content import Content, of_folder, of_unpacked, of_wheel
from hub_core.install.tools import Say, Tool, run
from hub_core.registry import PluginEntry, Registry
from hub_core.wording import shown

ROOT = Path(__file__).resolve().parents[2]
"""The folder that this hub-core is in: a clone of its repository, or what it is installed in."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What will be installed.

    Args:
        content: What is in it.
        requirement: Its requirement with a place, or its folder.
        sha256: Of its wheel; empty where it is built from source.
        index: The index that serves it, where one does.
        source: The folder that it is built from, or that was looked at to build the same commit.
        doubt: Why it must be asked about, as a sentence; empty where a registry lists just this.
        entry: What a registry lists under its name.
    """

    content: Content
    requirement: str
    sha256: str = ""
    index: str = ""
    source: Path | None = None
    doubt: str = ""
    entry: PluginEntry | None = None


def wanted(text: str, registry: Registry, tool: Tool, work: Path, say: Say) -> Wanted:
    """Find out what a user means, and fetch as much as is needed to look inside.

    Args:
        text: A name, or the path of a wheel or a folder.
        registry: What is listed.
        tool: What fetches listed wheels.
        work: A folder for what is fetched.
        say: Is told each command that is run.

    Raises:
        InstallError: There is no such thing, it cannot be fetched, or it is not what is listed.
        PluginError: The folder is none of a plugin.
    """
    if "://" in text:
        raise InstallError(
            f"{shown(text)} is an address, which nothing vouches for",
            hint="download it and name the file, or give a registry that lists it with --registry",
        )
    if text.endswith(".whl"):
        return _wheel(Path(text), registry)
    if Path(text).name != text or text in (".", ".."):
        return _folder(Path(text), registry)
    return _named(text, registry, tool, work, say)


# -- files and folders


def _wheel(path: Path, registry: Registry) -> Wanted:
    if not path.is_file():
        raise InstallError(f"there is no wheel at {path}", hint="check the path")
    content, sha256 = of_wheel(path), sha256_of(path)
    entry = registry.plugins.get(content.name)
    pinned = entry is not None and entry.sha256 and entry.version == content.version
    if entry is not None and pinned and entry.sha256 != sha256:
        raise InstallError(
            f"{path} has sha256 {sha256}, but {entry.provenance} lists {content.label} with "
            f"{entry.sha256}",
            hint="do not install it; fetch it from where the registry says",
        )
    requirement = f"{content.name} @ {path.resolve().as_uri()}"
    doubt = "" if pinned else f"no registry lists {content.label} with the sha256 of {path}"
    return Wanted(content, requirement, sha256, doubt=doubt, entry=entry)


def _folder(path: Path, registry: Registry) -> Wanted:
    if not path.is_dir():
        raise InstallError(f"there is no folder at {path}", hint="check the path")
    content = of_folder(path)
    entry = registry.plugins.get(content.name)
    doubt = "" if _is_listed(path, entry) else f"no registry lists the code in {path}"
    return Wanted(content, str(path.resolve()), source=path, doubt=doubt, entry=entry)


def _is_listed(folder: Path, entry: PluginEntry | None) -> bool:
    from hub_core.scaffold.entry import code_hash

    return entry is not None and bool(entry.code) and code_hash(folder) == entry.code


# -- names


def _named(text: str, registry: Registry, tool: Tool, work: Path, say: Say) -> Wanted:
    name = normalized(text)
    entry = registry.plugins.get(name)
    if entry is None:
        raise InstallError(
            f"no registry lists a plugin named {shown(text)}", hint=_other_ways(text, registry)
        )
    if entry.source.kind == "repository":
        return _from_repository(name, entry, work, say)
    return _from_registry(name, entry, tool, work, say)


def _other_ways(text: str, registry: Registry) -> str:
    if Path(text).is_dir():
        return f"the folder of that name is .{os.sep}{text}"
    if providers := registry.providers(None, text):
        return f"'{text}' is a method of {' and of '.join(providers)}"
    if re.search(r"[=<>~!\[]", text):
        return "give the name alone: the registry says which version it is"
    known = near(text, registry.plugins)
    return known or "name its wheel or its folder, or give a registry that lists it with --registry"


def _from_registry(name: str, entry: PluginEntry, tool: Tool, work: Path, say: Say) -> Wanted:
    """Fetch a wheel that is listed with its hash, and look inside."""
    source, label = entry.source, f"{name} {entry.version}"
    place = f"=={entry.version}" if source.kind == "index" else f" @ {source.url}"
    found = Wanted(
        Content(label, name, entry.version, (), {}), f"{name}{place}", entry.sha256, source.index,
        entry=entry,
    )  # fmt: skip
    look = work / "look"
    quiet = ("--quiet", "--target", str(look), "--only-binary", ":all:")
    if run(tool.install(*quiet, *hashed(found, work)), say):
        raise InstallError(
            f"{label} cannot be fetched with the sha256 that {entry.provenance} lists",
            hint=f"what {tool.name} said stands above: there is no connection, or the file is "
            "another one; nothing was installed",
        )
    content = of_unpacked(look, label)
    if (content.name, content.version) != (name, entry.version):
        raise InstallError(
            f"{entry.provenance} lists {label}, but what is there is {content.label}",
            hint="tell those who publish the registry; nothing was installed",
        )
    return Wanted(content, found.requirement, entry.sha256, source.index, entry=entry)


def hashed(found: Wanted, work: Path) -> tuple[str, ...]:
    """Write the requirement with its hash, and return the arguments that install exactly that."""
    path = work / "requirements.txt"
    path.write_text(f"{found.requirement} --hash=sha256:{found.sha256}\n", encoding="utf-8")
    index = ("--index-url", found.index) if found.index else ()
    return ("--no-deps", "--require-hashes", *index, "--requirement", str(path))


def _from_repository(name: str, entry: PluginEntry, work: Path, say: Say) -> Wanted:
    url, commit, folder = entry.source.url, "HEAD", ROOT / entry.source.subdirectory
    if not url:
        if (folder / "pyproject.toml").is_file():
            return Wanted(_same(name, folder, entry), str(folder), source=folder, entry=entry)
        url, commit = _own_repository(name)
        if not commit:
            folder = Path(url2pathname(urlsplit(url).path)) / entry.source.subdirectory
            return Wanted(_same(name, folder, entry), str(folder), source=folder, entry=entry)
    copy = work / "repository"
    commit = _fetched(name, url, commit, copy, say)
    folder = copy / entry.source.subdirectory
    content = _same(name, folder, entry)
    fragment = f"#subdirectory={entry.source.subdirectory}" if entry.source.subdirectory else ""
    doubt = ""
    other_code = entry.code and not _is_listed(folder, entry)
    if other_code or content.version not in ("0", entry.version):
        doubt = f"the code of {content.label} at {url} is not what {entry.provenance} lists"
    requirement = f"git+{url}@{commit}{fragment}"
    return Wanted(content, requirement, source=folder, doubt=doubt, entry=entry)


def _own_repository(name: str) -> tuple[str, str]:
    """Return where this hub-core was installed from, and the commit; a folder has none."""
    with suppress(metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        found = json.loads(metadata.distribution("hub-core").read_text("direct_url.json") or "")
        if "vcs_info" in found:
            return str(found["url"]), str(found["vcs_info"]["commit_id"])
        if "dir_info" in found:
            return str(found["url"]), ""
    raise InstallError(
        f"{name} is in the repository of hub-core, and where that is is not known here",
        hint="clone it and name the folder: hub plugins install CLONE/plugins/" + name,
    )


def _fetched(name: str, url: str, reference: str, copy: Path, say: Say) -> str:
    """Fetch one commit of a repository into a folder, and return the commit."""
    git = shutil.which("git")
    if git is None:
        raise InstallError(
            f"{name} is in the git repository {url}, and there is no git",
            hint="install git, or download the repository and name the folder of the plugin",
        )
    inside = (git, "-C", str(copy))
    copy.mkdir()
    for command in (
        (*inside, "init", "--quiet"),
        (*inside, "fetch", "--quiet", "--depth", "1", "--", url, reference),
        (*inside, "checkout", "--quiet", "FETCH_HEAD"),
    ):
        if run(command, say):
            raise InstallError(
                f"{name} cannot be fetched from {url}",
                hint="what git said stands above; nothing was installed",
            )
    asked = subprocess.run(
        (*inside, "rev-parse", "HEAD"), capture_output=True, text=True, check=True
    )
    return asked.stdout.strip()


def _same(name: str, folder: Path, entry: PluginEntry) -> Content:
    """Return what is in a folder, which must be of the listed plugin."""
    content = of_folder(folder)
    if content.name != name:
        raise InstallError(
            f"{entry.provenance} lists {name}, but in its folder is {content.name}",
            hint="tell those who publish the registry; nothing was installed",
        )
    return content
