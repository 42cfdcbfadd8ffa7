"""What exists, installed or not: the catalog of this environment and the registries as one list.

What is installed is as the installed plugins say; the registries add what is not, and facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hub_core import added
from hub_core.catalog import COMMANDS, Catalog, Plugin, Provided, label_of, version_of
from hub_core.declare import KINDS, Kind
from hub_core.registry import MethodEntry, PluginEntry, Registry

_ORDER = (*KINDS, "command")


@dataclass(frozen=True, slots=True)
class Available:
    """A method, or a command that a plugin adds.

    Args:
        kind: The method's kind, or ``command``.
        name: Its name.
        summary: What it does, in a line.
        plugin: The distribution that provides it.
        version: The installed version, or the listed one.
        state: ``installed``, ``available``, or why its installed plugin cannot be used:
            ``disabled``, ``incompatible`` or ``broken``.
        reason: Why that is so, as a sentence.
        provided: The installed method.
        entry: The method as a registry lists it.
        listed: The plugin as a registry lists it.
    """

    kind: Kind | Literal["command"]
    name: str
    summary: str
    plugin: str
    version: str
    state: str
    reason: str = ""
    provided: Provided | None = None
    entry: MethodEntry | None = None
    listed: PluginEntry | None = None
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def installed(self) -> bool:
        """Whether it can be used here and now."""
        return self.state == "installed"

    @property
    def paper(self) -> str:
        """Where the method comes from."""
        if self.provided is not None:
            return self.provided.method.paper
        return self.entry.paper if self.entry is not None else ""

    @property
    def provenance(self) -> str:
        """The registry that lists it; empty where none does."""
        return self.listed.provenance if self.listed is not None else ""

    @property
    def install(self) -> str:
        """The command that installs its plugin; empty where it is here, or no registry lists it."""
        if self.state != "available" or self.listed is None:
            return ""
        return f"hub plugins install {self.plugin}"

    @property
    def source(self) -> str:
        """Where its plugin comes from when it is installed, in words; empty where nobody says."""
        return _comes_from(self.plugin, self.listed) if self.listed is not None else ""

    @property
    def facts(self) -> dict[str, Any]:
        """What was measured of it, with the versions it was measured with."""
        if self.entry is None or self.entry.facts is None:
            return {}
        return self.entry.facts.model_dump(mode="json")

    def json(self) -> dict[str, Any]:
        """Return it as plain data."""
        keys = ("kind", "name", "summary", "plugin", "version", "installed", "state", "reason",
                "paper", "install", "source", "provenance", "facts")  # fmt: skip
        return {key: getattr(self, key) for key in keys} | {
            which: list(tags) for which, tags in self.tags.items()
        }


def available(catalog: Catalog, registry: Registry) -> list[Available]:
    """Return everything that exists, by kind and name."""
    here = {_key(p.kind, p.method.name, p.plugin.distribution): p for p in catalog.methods()}
    found = [installed_here(provided, registry) for provided in here.values()]
    unusable = {p.distribution: p for p in catalog.plugins() if p.status != "ok"}
    commands = _distributions()
    for distribution, plugin in registry.plugins.items():
        for method in plugin.methods:
            if _key(method.kind, method.name, distribution) not in here:
                found.append(_elsewhere(distribution, method, plugin, unusable.get(distribution)))
        off = added.off(distribution, unusable.values())
        found += [_command(name, distribution, plugin, commands, off) for name in plugin.commands]
    return sorted(found, key=lambda a: (_ORDER.index(a.kind), a.name, a.plugin))


def matching(found: Iterable[Available], words: Iterable[str]) -> list[Available]:
    """Return what has every word in its name, summary, plugin, kind or tags; best first."""
    wanted = [word.casefold() for text in words for word in text.split()]
    scored = [(_score(one, wanted), one) for one in found]
    return [one for score, one in sorted(scored, key=lambda pair: -pair[0]) if score]


def _key(kind: str, name: str, distribution: str) -> tuple[str, str, str]:
    return kind, name, distribution


def installed_here(provided: Provided, registry: Registry) -> Available:
    """Return an installed method together with what a registry says of it."""
    method, plugin = provided.method, provided.plugin
    listed = registry.plugins.get(plugin.distribution)
    entry = next(
        (m for m in listed.methods if (m.kind, m.name) == (provided.kind, method.name))
        if listed is not None
        else iter(()),
        None,
    )
    return Available(
        kind=provided.kind,
        name=method.name,
        summary=method.summary,
        plugin=plugin.distribution,
        version=plugin.version,
        state="installed",
        provided=provided,
        entry=entry,
        listed=listed,
        tags=_tags(method, entry),
    )


def _elsewhere(
    name: str, entry: MethodEntry, listed: PluginEntry, unusable: Plugin | None
) -> Available:
    return Available(
        kind=entry.kind,
        name=entry.name,
        summary=entry.summary,
        plugin=name,
        version=unusable.version if unusable else listed.version,
        state=unusable.status if unusable else "available",
        reason=unusable.reason if unusable else "",
        entry=entry,
        listed=listed,
        tags=_tags(None, entry),
    )


def _command(
    name: str,
    distribution: str,
    listed: PluginEntry,
    commands: Mapping[str, str],
    off: Plugin | None,
) -> Available:
    here = commands.get(distribution)
    return Available(
        kind="command",
        name=name,
        summary=listed.summary,
        plugin=distribution,
        version=here or listed.version,
        state=off.status if off else "installed" if here else "available",
        reason=off.reason if off else "",
        listed=listed,
    )


def _comes_from(plugin: str, entry: PluginEntry) -> str:
    """Return where a plugin comes from when it is installed, in words."""
    source = entry.source
    if source.kind == "index":
        return f"{plugin} {entry.version} from the index {source.index}, sha256 {entry.sha256}"
    if source.kind == "url":
        return f"{source.url}, sha256 {entry.sha256}"
    where = source.url or "the repository of hub-core"
    return f"folder {source.subdirectory} of {where}" if source.subdirectory else where


def _tags(method: Any, entry: MethodEntry | None) -> dict[str, tuple[str, ...]]:
    """Return tags by role; those that depend on options are the registry's, for the defaults."""
    found = {}
    for which in ("requires", "provides", "removes"):
        tags: Any = getattr(method, which, None)
        if tags is None or callable(tags):
            tags = getattr(entry, which, ())
        found[which] = tuple(sorted(tags))
    return found


def _score(one: Available, wanted: Iterable[str]) -> int:
    """Return how well it fits: 0 not at all, more where the words stand in more telling places."""
    total = 1
    for word in wanted:
        places = [text.casefold() for text in _texts(one)]
        fits = [len(places) - number for number, text in enumerate(places) if word in text]
        if not fits:
            return 0
        total += max(fits) + (len(places) if word == places[0] else 0)
    return total


def _texts(one: Available) -> Iterator[str]:
    yield one.name
    yield one.plugin
    yield one.summary
    yield one.kind
    yield " ".join(tag for tags in one.tags.values() for tag in tags)
    yield one.listed.summary if one.listed is not None else ""
    yield one.paper


def _distributions() -> dict[str, str]:
    """Return the installed plugins that only bring commands, too: name to version."""
    from importlib import metadata

    found = {}
    for point in metadata.entry_points(group=COMMANDS):
        if point.dist is not None:
            found[label_of(point.dist)] = version_of(point.dist)
    return found
