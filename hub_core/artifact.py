"""Artifacts: what is written of a trained model, and how it appears as a whole or not at all.

Two forms. ``delta``: the backbone is fetched, every tensor that is not an untouched part of it is
filled in, then the parts finalize. ``whole``: where pre-trained weights were trained and the
finished model is no larger, all of it is stored; it is filled into the empty architecture and no
backbone is needed. One rule serves dense, pruned, shrunk and quantized models; tensors that are
mostly zeros are packed.
"""

from __future__ import annotations

import math
import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor

from hub_core import __version__, adapter_config, manifest
from hub_core.build import Blueprint, Built
from hub_core.declare import Task
from hub_core.effects import START, Meter
from hub_core.folders import new_folder, write_json
from hub_core.manifest import BackboneEntry, EffectEntry, Manifest, MethodEntry, TaskEntry
from hub_core.model import Example, tensors_of
from hub_core.part import Portable
from hub_core.proof import PROBE, PROBE_JSON, remember, sealed, write_probe
from hub_core.recipe import Recipe
from hub_core.sparse import packed, stored_bytes
from hub_core.state import save_tensors, split

DELTA, WHOLE, STATE = "delta.safetensors", "whole.safetensors", "state.safetensors"
PLAIN, ADAPTER = "model.safetensors", "adapter_model.safetensors"
WORTHWHILE = 0.9
"""Share of its bytes below which a model is packed, although the library could load it as is."""


@dataclass(slots=True)
class Trained:
    """A trained, finalized model and what its artifact needs from before ``finalize``.

    Args:
        blueprint: What was built.
        built: The model, finalized.
        tasks: Its tasks.
        delta: The trained tensors by name, as they were before ``finalize``.
        chose_base: Whether pre-trained weights were ever chosen, by this run or one before it.
        portable: Another library's view of the trained form, if there is one.
        trained: How many parameters were ever chosen.
        effects: What each compressor did.
        alone: Whether the artifact must hold all of the model, so that no backbone is needed.
    """

    blueprint: Blueprint
    built: Built
    tasks: Sequence[Task]
    delta: dict[str, Tensor]
    chose_base: bool
    portable: Portable | None
    trained: int
    effects: Sequence[EffectEntry] = ()
    alone: bool = False


def finish(
    blueprint: Blueprint,
    built: Built,
    tasks: Sequence[Task],
    ever: Any,
    meter: Meter | None = None,
    *,
    alone: bool = False,
) -> Trained:
    """Take what was trained, then finalize the model.

    Args:
        blueprint: What was built.
        built: The model.
        tasks: Its tasks.
        ever: The parameters that were ever chosen.
        meter: Measures the model before the first compressor and after each.
        alone: Whether all of the model is saved, whatever was trained.
    """
    delta = {name: t.detach().clone() for name, t in built.delta(ever).items()}
    chose_base = bool(built.touched) or any(parameter in built.base for parameter in ever)
    portable = None if chose_base else _portable(built, delta)
    trained = sum(parameter.numel() for parameter in ever)
    effects = _finalize(blueprint, built, meter)
    return Trained(blueprint, built, tasks, delta, chose_base, portable, trained, effects, alone)


def _finalize(blueprint: Blueprint, built: Built, meter: Meter | None) -> Sequence[EffectEntry]:
    """Finalize the model; return what each compressor did to it."""
    last = [p.provided.method.name for p in blueprint.parts if p.provided.kind == "compressor"]
    if meter is None or not last:
        built.finalize()
        return ()
    names, first = [START, *last], len(blueprint.parts) - len(last)
    built.finalize(lambda number: meter.take(names[number - first]) if number >= first else None)
    meter.take(names[-1])
    return meter.entries


def _portable(built: Built, delta: Mapping[str, Tensor]) -> Portable | None:
    """Return the one part's portable form that holds every trained tensor outside the heads."""
    body = {name for name in delta if not name.startswith("heads.")}
    for part in built.parts:
        found = part.portable(built.model)
        if found is not None and set(found.names) == body:
            return found
    return None


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a run besides the model, for ``hub.json``."""

    tasks: Mapping[str, TaskEntry]
    seconds: float = 0.0
    lineage: Sequence[Mapping[str, Any]] = ()
    history: Sequence[Mapping[str, Any]] = ()


def save(
    trained: Trained,
    folder: Path,
    record: Record,
    probes: Mapping[str, Sequence[Example]],
    *,
    prove: bool = True,
    place: str = "",
) -> Manifest:
    """Write an artifact; it appears as a whole or not at all, and only if its proof holds.

    Args:
        trained: The finalized model.
        folder: Where it goes; an artifact that is there already is replaced.
        record: What goes into ``hub.json`` besides.
        probes: Task name to a few examples whose outputs are kept.
        prove: Load it in a fresh process and compare.
        place: Where the backbone is, handed to that process.

    Raises:
        IntegrityError: What a fresh process loads is not what was trained.
        ArtifactError: The folder cannot be written.
    """
    with new_folder(folder) as partial:
        content = _write_model(trained, partial, record)
        write_probe(trained.built.model, partial, probes)
        content = sealed(partial, content, place, prove=prove)
    if content.proof is not None:
        remember(folder, content.proof.difference)
    return content


def _form(trained: Trained, served: Mapping[str, Tensor]) -> str:
    smaller = _bytes(served) <= _bytes(trained.delta)
    return "whole" if trained.alone or (trained.chose_base and smaller) else "delta"


def _write_model(trained: Trained, folder: Path, record: Record) -> Manifest:
    built = trained.built
    served = tensors_of(built.model)
    form = _form(trained, served)
    tensors = served if form == "whole" else trained.delta
    heads = {name: t for name, t in tensors.items() if name.startswith("heads.")}
    body = {name: t for name, t in tensors.items() if name not in heads}
    renamed: dict[str, dict[str, str]] = {}
    for task in trained.tasks:
        start = f"heads.{task.name}."
        own = {name: t for name, t in heads.items() if name.startswith(start)}
        if own:
            save_tensors(folder / f"head.{task.name}.safetensors", own)
    if form == "whole":
        renamed |= _write_whole(trained, folder, body)
    elif trained.portable is not None:
        renamed |= _write_portable(trained.portable, folder, body)
    elif body:
        save_tensors(folder / DELTA, body)
    return _describe(trained, folder, record, form, sorted(tensors), renamed)


def _write_whole(
    trained: Trained, folder: Path, body: Mapping[str, Tensor]
) -> dict[str, dict[str, str]]:
    """Write the whole backbone, under the library's own names if that library can load it."""
    backbone = trained.built.model.backbone
    backbone.save_config(folder)
    own = {name.removeprefix("backbone."): tensor for name, tensor in body.items()}
    exported = backbone.export(own)
    if exported is None or _saves(body):
        save_tensors(folder / WHOLE, packed(body))
        return {}
    save_tensors(folder / PLAIN, exported)
    theirs = {id(tensor): name for name, tensor in exported.items()}
    return {PLAIN: {f"backbone.{name}": theirs[id(t)] for name, t in own.items()}}


def _write_portable(
    portable: Portable, folder: Path, body: Mapping[str, Tensor]
) -> dict[str, dict[str, str]]:
    save_tensors(folder / ADAPTER, {portable.names[name]: t for name, t in body.items()})
    write_json(folder / adapter_config.NAME, dict(portable.config))
    return {ADAPTER: dict(portable.names)}


def _describe(
    trained: Trained,
    folder: Path,
    record: Record,
    form: Any,
    names: list[str],
    renamed: dict[str, dict[str, str]],
) -> Manifest:
    built, blueprint = trained.built, trained.blueprint
    tensors: dict[str, Tensor] = {}
    states = [split(state, tensors) for state in built.part_states()]
    if tensors:
        save_tensors(folder / STATE, tensors)
    padding = [None] * (len(blueprint.methods()) - len(states))
    methods = [
        MethodEntry(
            kind=method.provided.kind,
            name=method.provided.method.name,
            plugin=method.provided.plugin.name,
            distribution=method.provided.plugin.distribution,
            version=method.provided.plugin.version,
            state=state,
        )
        for method, state in zip(blueprint.methods(), padding + states, strict=True)
    ]
    report = {
        f"{method.provided.method.name}.{name}": float(value)
        for method, part in zip(blueprint.parts, built.parts, strict=True)
        for name, value in part.report(built.model).items()
    }
    identity = built.model.backbone.identity
    return Manifest(
        recipe=public_recipe(blueprint.recipe),
        methods=methods,
        backbone=BackboneEntry(
            fingerprint=identity.fingerprint,
            config=identity.config,
            hint=identity.hint,
            name=identity.name,
        ),
        tasks=dict(record.tasks),
        form=form,
        tensors=names,
        renamed=renamed,
        parameters={"trained": trained.trained, "total": sum(p.numel() for p in built.names)},
        report=report,
        effects=list(trained.effects),
        history=[_finite(entry) for entry in record.history],
        seconds=round(record.seconds, 3),
        environment=_environment(),
        lineage=[dict(step) for step in record.lineage],
    )


def _finite(value: Any) -> Any:
    """Return plain data with what JSON has no number for as None."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def public_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe without the paths of this machine: of a path, only the last name."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, list):
            return [clean(item) for item in value]
        return Path(value).name if isinstance(value, str) and _is_path(value) else value

    cleaned: dict[str, Any] = clean(recipe.model_dump(mode="json"))
    return cleaned


def _is_path(text: str) -> bool:
    # os.path, because Path.exists raises on texts that are too long to be paths
    return bool(text) and (Path(text).is_absolute() or os.path.exists(text))  # noqa: PTH110


def _environment() -> dict[str, str]:
    versions = {"python": platform.python_version(), "hub-core": __version__}
    for name in ("torch", "transformers", "peft", "accelerate", "safetensors"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions | {"platform": platform.system(), "machine": platform.machine()}


def file_names(trained: Trained) -> list[str]:
    """Return the names of the files that ``save`` would write, without writing a weight."""
    model = trained.built.model
    served = tensors_of(model)
    whole = _form(trained, served) == "whole"
    tensors = served if whole else trained.delta
    names = {manifest.NAME, PROBE, PROBE_JSON}
    names |= {
        f"head.{task.name}.safetensors"
        for task in trained.tasks
        if any(name.startswith(f"heads.{task.name}.") for name in tensors)
    }
    states: dict[str, Tensor] = {}
    for state in trained.built.part_states():
        split(state, states)
    names |= {STATE} if states else set()
    body = {n: t for n, t in tensors.items() if not n.startswith("heads.")}
    if whole:
        with tempfile.TemporaryDirectory(prefix="hub-core-") as scratch:
            model.backbone.save_config(Path(scratch))
            names |= {path.name for path in Path(scratch).iterdir()}
        own = {name.removeprefix("backbone."): tensor for name, tensor in body.items()}
        names.add(WHOLE if model.backbone.export(own) is None or _saves(body) else PLAIN)
    elif trained.portable is not None:
        names |= {ADAPTER, adapter_config.NAME}
    elif body:
        names.add(DELTA)
    return sorted(names)


def _saves(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether packing saves so much that the library need not load the file as it is."""
    return stored_bytes(tensors) < WORTHWHILE * _bytes(tensors)


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
