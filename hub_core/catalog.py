"""Find installed plugins and resolve the methods they announce; the only user of pluggy.

Looking for plugins reads metadata and imports nothing; listing methods imports the light plugin
modules; using a method imports its factory. A plugin that fails is data here, never an exception,
until something of it is asked for.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

from hub_core import disabled
from hub_core.corerange import refusal
from hub_core.declare import KINDS, Kind, Method
from hub_core.errors import (
    AmbiguousMethodError,
    OptionsError,
    PluginError,
    UnknownMethodError,
    listed,
    near,
)

if TYPE_CHECKING:
    from hub_core.options import Options

GROUP = "hub_core"
COMMANDS = "hub_core.commands"
_HOOKS: Mapping[Kind, str] = {
    "backbone": "hub_backbones",
    "head": "hub_heads",
    "strategy": "hub_strategies",
    "compressor": "hub_compressors",
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin and whether it can be used.

    Args:
        name: The entry point's name.
        module: The module the entry point names; empty where a distribution announces no methods
            but adds something else, such as commands.
        distribution: The installed distribution that brings it.
        version: That distribution's version.
        status: ``ok`` also before it was imported; then ``broken`` if that failed.
        reason: Why it cannot be used, as a sentence; empty when it can.
    """

    name: str
    module: str
    distribution: str
    version: str
    status: Literal["ok", "disabled", "incompatible", "broken"] = "ok"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Provided:
    """A method together with its kind and the plugin that provides it."""

    kind: Kind
    method: Method
    plugin: Plugin

    @property
    def full_name(self) -> str:
        """Name that is unambiguous among all plugins, such as ``hub-peft:lora``."""
        return f"{self.plugin.name}:{self.method.name}"

    def factory(self) -> Any:
        """Import the method's factory.

        Raises:
            PluginError: The factory cannot be imported.
        """
        return _load(self, self.method.factory)

    def options_class(self) -> type[Options]:
        """Import the model of the method's options.

        Raises:
            PluginError: The model cannot be imported, or is none.
        """
        from hub_core.options import Options

        model = _load(self, self.method.options)
        if not (isinstance(model, type) and issubclass(model, Options)):
            raise PluginError(
                f"plugin {self.plugin.name}: {self.method.options} is not derived from Options",
                hint=f"reinstall {self.plugin.distribution}, or report this to its authors",
            )
        return model

    def options(self, values: Mapping[str, Any]) -> Options:
        """Check ``values`` and return the method's options.

        Raises:
            OptionsError: Something does not fit; the message lists everything.
        """
        model = self.options_class()
        from pydantic import ValidationError

        try:
            return model(**values)
        except ValidationError as error:
            problems = [_option_problem(e, model.model_fields) for e in error.errors()]
            raise OptionsError(
                f"{self.kind} {self.method.name}: these options do not fit:{listed(problems)}",
                hint=f"'hub show {self.method.name}' lists every option with its bounds",
            ) from None


def _option_problem(error: Mapping[str, Any], known: Iterable[str]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: there is no such option{_sep(near(where, known))}"
    if error["type"] == "missing":
        return f"{where}: must be given"
    text = error["msg"].removeprefix("Value error, ")
    given = f"{where} = {error['input']!r}" if error["loc"] else "together"
    return f"{given}: {text[0].lower()}{text[1:]}"


def _sep(text: str) -> str:
    return f"; {text}" if text else ""


def _load(provided: Provided, target: str) -> Any:
    module, _, name = target.partition(":")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {provided.plugin.name} cannot load {target} for {provided.method.name}: "
            f"{type(error).__name__}: {error}",
            hint=f"reinstall {provided.plugin.distribution}, or report this to its authors",
        ) from error


class Catalog:
    """The plugins of this environment and the methods they provide."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self._plugins = {plugin.name: plugin for plugin in plugins}
        self._methods: list[Provided] | None = None

    def plugins(self, *, imported: bool = False) -> list[Plugin]:
        """Return all plugins by name; ``imported`` also imports them, to find broken ones."""
        if imported:
            self.methods()
        return sorted(self._plugins.values(), key=lambda plugin: plugin.name)

    def methods(self, kind: Kind | None = None) -> list[Provided]:
        """Return what usable plugins provide, by kind and name."""
        if self._methods is None:
            self._methods = []
            for plugin in self.plugins():
                if plugin.status == "ok":
                    self._methods += self._import(plugin)
            self._methods.sort(key=lambda p: (KINDS.index(p.kind), p.method.name, p.plugin.name))
        return [p for p in self._methods if kind in (None, p.kind)]

    def _import(self, plugin: Plugin) -> list[Provided]:
        try:
            return list(_announced(plugin)) if plugin.module else []
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".replace("\n", " ")
            self._plugins[plugin.name] = replace(plugin, status="broken", reason=reason)
            return []

    def find(self, kind: Kind, name: str) -> Provided:
        """Return the one method that ``name`` means: ``lora`` or ``hub-peft:lora``.

        Raises:
            UnknownMethodError: No plugin provides it; near names and broken plugins are told.
            AmbiguousMethodError: Several plugins do; all are listed.
            PluginError: The plugin named before the colon cannot be used.
        """
        plugin, _, bare = name.rpartition(":")
        if plugin:
            self._require_usable(plugin)
        able = [p for p in self.methods(kind) if plugin in ("", p.plugin.name)]
        found = [p for p in able if p.method.name == bare]
        if len(found) > 1:
            choices = " or ".join(f"'{p.full_name}'" for p in found)
            raise AmbiguousMethodError(
                f"{kind} '{name}' is provided by {len(found)} plugins", hint=f"write {choices}"
            )
        if not found and plugin:
            own = [p.method.name for p in able]
            raise UnknownMethodError(
                f"plugin {plugin} provides no {kind} named '{bare}'",
                hint=near(bare, own) or f"'hub methods --kind {kind}' lists what is installed",
            )
        if not found:
            raise self._unknown(kind, bare)
        return found[0]

    def _require_usable(self, name: str) -> None:
        self.methods()
        plugin = self._plugins.get(name)
        if plugin is None:
            raise PluginError(f"no plugin named '{name}' is installed", hint=self._way_to(name))
        if plugin.status == "ok":
            return
        reason, hint = plugin.reason, f"repair or uninstall {plugin.distribution} {plugin.version}"
        if plugin.status == "disabled":  # what ``_switches`` says is why, and the way back
            reason, _, hint = plugin.reason.partition("; ")
        raise PluginError(f"plugin {name} is {plugin.status}: {reason}", hint=hint)

    def _way_to(self, name: str) -> str:
        from hub_core.registry.pinned import known

        if name in known().plugins:
            return f"a registry lists it: 'hub plugins install {name}' installs it"
        return near(name, self._plugins) or "'hub plugins' lists the installed ones"

    def _unknown(self, kind: Kind, name: str) -> UnknownMethodError:
        hints = [near(name, (p.method.name for p in self.methods(kind)))]
        elsewhere = sorted({p.kind for p in self.methods() if p.method.name == name})
        hints += [f"there is a {other} of that name" for other in elsewhere]
        hints += [
            f"plugin {p.name} is {p.status} ({p.reason})"
            for p in self.plugins()
            if p.status != "ok"
        ]
        hints += self._listed(kind, name)
        hints.append(f"'hub methods --kind {kind}' lists what is installed")
        return UnknownMethodError(
            f"no installed plugin provides a {kind} named '{name}'",
            hint="; ".join(hint for hint in hints if hint),
        )

    def _listed(self, kind: Kind, name: str) -> list[str]:
        """Return a sentence for each plugin that is not here and would provide the method."""
        from hub_core.registry.pinned import known

        here = {plugin.distribution for plugin in self._plugins.values()}
        return [
            f"{plugin} provides it: 'hub plugins install {plugin}' installs it"
            for plugin in known().providers(kind, name)
            if plugin not in here
        ]


def _announced(plugin: Plugin) -> Iterator[Provided]:
    """Import a plugin and yield its methods; any failure is the caller's to record."""
    import pluggy

    from hub_core.spec import HubSpecs

    manager = pluggy.PluginManager("hub_core")
    manager.add_hookspecs(HubSpecs)
    with contextlib.redirect_stdout(sys.stderr):  # a plugin that prints must not spoil --json
        module = importlib.import_module(plugin.module)
        _refuse_unheard(module)
        manager.register(module, name=plugin.name)
        for kind, hook in _HOOKS.items():
            seen: set[str] = set()
            for method in _flat(hook, getattr(manager.hook, hook)()):
                if method.name in seen:
                    raise ValueError(f"{hook} yields two methods named {method.name!r}")
                seen.add(method.name)
                yield Provided(kind, method, plugin)


def _refuse_unheard(module: Any) -> None:
    """Refuse hooks that pluggy would pass over in silence: misspelt ones and unmarked ones."""
    for name, value in list(vars(module).items()):
        mark = getattr(value, "hub_core_impl", None)
        heard = (mark.get("specname") or name) if isinstance(mark, dict) else None
        if heard is None and name in _HOOKS.values() and callable(value):
            raise TypeError(f"{name} lacks @hookimpl")
        if heard is not None and heard not in _HOOKS.values():
            raise TypeError(f"there is no hook {heard}{_sep(near(heard, _HOOKS.values()))}")


def _flat(hook: str, results: Iterable[Iterable[Method]]) -> Iterator[Method]:
    for result in results:
        for method in result:
            if not isinstance(method, Method):
                raise TypeError(f"{hook} must yield Method, not {type(method).__name__}")
            yield method


def _discover() -> Iterator[Plugin]:
    """Yield every plugin of this environment in one pass over the distributions."""
    why = _switches()
    taken: dict[str, str] = {}
    seen: set[str] = set()
    for distribution in metadata.distributions():
        text = (distribution.read_text("entry_points.txt") or "").replace(" ", "")
        if not re.search(rf"^\[{GROUP}[].]", text, re.M):
            continue
        label = label_of(distribution)
        if label in seen:  # the same distribution again, further down sys.path
            continue
        seen.add(label)
        points = [(p.name, p.value) for p in distribution.entry_points.select(group=GROUP)]
        for name, module in points or [(label, "")]:
            plugin = Plugin(name, module, label, version_of(distribution))
            if reason := why(name):
                yield replace(plugin, status="disabled", reason=reason)
            elif name in taken:
                reason = f"{taken[name]} brings a plugin of that name too"
                yield replace(plugin, name=f"{name}@{label}", status="broken", reason=reason)
            else:
                taken[name] = label
                yield _compatible(plugin, distribution)


def _switches() -> Callable[[str], str]:
    """Return what tells why a plugin is disabled; ``HUB_PLUGINS`` goes before the user's file."""
    allowed = os.environ.get("HUB_PLUGINS")
    if allowed is not None:
        names = {name.strip() for name in allowed.split(",")}
        left_out = "HUB_PLUGINS does not name it; add it there to use it"
        return lambda name: "" if name in names else left_out
    off = disabled.names()
    return lambda name: (
        f"switched off; 'hub plugins enable {name}' uses it again" if name in off else ""
    )


def normalized(name: str) -> str:
    """Return a distribution's name as all of its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def extends(group: str) -> bool:
    """Return whether an entry-point group adds something to hub-core."""
    return group == GROUP or group.startswith(f"{GROUP}.")


def label_of(distribution: metadata.Distribution) -> str:
    """Return a distribution's normalized name, also of one whose metadata are damaged."""
    with contextlib.suppress(Exception):
        return normalized(distribution.metadata["Name"])
    return "unnamed"


def version_of(distribution: metadata.Distribution) -> str:
    """Return a distribution's version, also of one whose metadata are damaged."""
    with contextlib.suppress(Exception):
        return distribution.version or "unknown"
    return "unknown"


def _compatible(plugin: Plugin, distribution: metadata.Distribution) -> Plugin:
    """Mark a plugin that was made for another core, known before it is imported."""
    with contextlib.suppress(ValueError, TypeError):
        if reason := refusal(distribution.requires or ()):
            return replace(plugin, status="incompatible", reason=reason)
        return plugin
    return replace(plugin, status="broken", reason="its metadata cannot be read")


_OFFERED: list[Plugin] = []


@functools.cache
def installed() -> Catalog:
    """Return the catalog of this environment, found once per process."""
    return Catalog([*_discover(), *_OFFERED])


@contextlib.contextmanager
def offering(*plugins: Plugin) -> Iterator[Catalog]:
    """Have ``installed`` hold plugins that no distribution brings, for as long as this lasts.

    For tests of plugins: what they offer must be importable, and is looked up by name like
    everything else.

    Args:
        plugins: What is offered besides what is installed.
    """
    _OFFERED.extend(plugins)
    installed.cache_clear()
    try:
        yield installed()
    finally:
        del _OFFERED[len(_OFFERED) - len(plugins) :]
        installed.cache_clear()
