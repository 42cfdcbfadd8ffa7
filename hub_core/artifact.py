"""Artifacts: save what was trained, load it by replaying, and prove that both are the same.

Two forms. ``delta``: the backbone is fetched, every tensor that is not an untouched part of it is
filled in, then the parts finalize. ``whole``: where pre-trained weights were trained and the
finished model is no larger, all of it is stored; it is filled into the empty architecture and no
backbone is needed. One rule serves dense, pruned, shrunk and quantized models.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hub_core import __version__, catalog, manifest
from hub_core.build import Blueprint, Built, assemble, plan
from hub_core.declare import Task
from hub_core.errors import ArtifactError, IntegrityError, listed
from hub_core.evaluate import Predictor, run
from hub_core.identity import Identity
from hub_core.manifest import BackboneEntry, Manifest, MethodEntry, Proof, TaskEntry
from hub_core.model import Example, Row, TaskModel, tensors_of
from hub_core.part import Context, Portable
from hub_core.recipe import Recipe, parse
from hub_core.state import join, load_tensors, new_folder, save_tensors, split, write_json
from hub_core.training import fill

DELTA, WHOLE, STATE, PROBE, PROBE_JSON = (
    "delta.safetensors",
    "whole.safetensors",
    "state.safetensors",
    "probe.safetensors",
    "probe.json",
)
PLAIN, ADAPTER, ADAPTER_CONFIG = (
    "model.safetensors",
    "adapter_model.safetensors",
    "adapter_config.json",
)
TOLERANCE = 1e-5
"""Largest accepted difference on the saving machine, as a share of the outputs' scale."""
ELSEWHERE = 1e-3
"""The same on another machine."""
PROBE_ROWS = 8


@dataclass(slots=True)
class Trained:
    """A trained, finalized model and what its artifact needs from before ``finalize``.

    Args:
        blueprint: What was built.
        built: The model, finalized.
        tasks: Its tasks.
        delta: The trained tensors by name, as they were before ``finalize``.
        chose_base: Whether pre-trained weights were ever chosen.
        portable: Another library's view of the trained form, if there is one.
        trained: How many parameters were ever chosen.
    """

    blueprint: Blueprint
    built: Built
    tasks: Sequence[Task]
    delta: dict[str, Tensor]
    chose_base: bool
    portable: Portable | None
    trained: int


def finish(blueprint: Blueprint, built: Built, tasks: Sequence[Task], ever: Any) -> Trained:
    """Take what was trained, then finalize the model."""
    delta = {name: t.detach().clone() for name, t in built.delta(ever).items()}
    chose_base = any(parameter in built.base for parameter in ever)
    portable = None if chose_base else _portable(built, delta)
    trained = sum(parameter.numel() for parameter in ever)
    built.finalize()
    return Trained(blueprint, built, tasks, delta, chose_base, portable, trained)


def _portable(built: Built, delta: Mapping[str, Tensor]) -> Portable | None:
    """Return the one part's portable form that holds every trained tensor outside the heads."""
    body = {name for name in delta if not name.startswith("heads.")}
    for part in built.parts:
        found = part.portable(built.model)
        if found is not None and set(found.names) == body:
            return found
    return None


# -- saving


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a run besides the model, for ``hub.json``."""

    tasks: Mapping[str, TaskEntry]
    seconds: float = 0.0
    lineage: Sequence[Mapping[str, Any]] = ()


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
        _write_probe(trained.built.model, partial, probes)
        files = manifest.describe_files(partial)
        content = content.model_copy(update={"files": files})
        manifest.write(partial, content)
        if prove:
            proof = _prove(partial, place)
            content = content.model_copy(update={"proof": proof})
            manifest.write(partial, content)
    return content


def _form(trained: Trained, served: Mapping[str, Tensor]) -> str:
    smaller = _bytes(served) <= _bytes(trained.delta)
    return "whole" if trained.chose_base and smaller else "delta"


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
    if exported is None:
        save_tensors(folder / WHOLE, body)
        return {}
    save_tensors(folder / PLAIN, exported)
    theirs = {id(tensor): name for name, tensor in exported.items()}
    return {PLAIN: {f"backbone.{name}": theirs[id(t)] for name, t in own.items()}}


def _write_portable(
    portable: Portable, folder: Path, body: Mapping[str, Tensor]
) -> dict[str, dict[str, str]]:
    save_tensors(folder / ADAPTER, {portable.names[name]: t for name, t in body.items()})
    write_json(folder / ADAPTER_CONFIG, dict(portable.config))
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
        recipe=_public(blueprint.recipe),
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
        seconds=round(record.seconds, 3),
        environment=_environment(),
        lineage=[dict(step) for step in record.lineage],
    )


def _public(recipe: Recipe) -> dict[str, Any]:
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
        names.add(WHOLE if model.backbone.export(own) is None else PLAIN)
    elif trained.portable is not None:
        names |= {ADAPTER, ADAPTER_CONFIG}
    elif body:
        names.add(DELTA)
    return sorted(names)


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


# -- loading


def load(
    folder: str | Path, *, backbone: str = "", device: str = "cpu", check: bool = True
) -> Predictor:
    """Load an artifact.

    Args:
        folder: The artifact.
        backbone: Where its backbone is, if it is not where this machine last used it.
        device: Where the model goes.
        check: Compare every file with its sha256 first.

    Raises:
        FormatError: The folder is no artifact.
        IntegrityError: A file or the set of tensors is not what was saved.
        BaseMismatchError: The backbone that was found is another one.
        UnknownMethodError: A plugin that it needs is not installed.
    """
    folder = Path(folder)
    content = manifest.read(folder)
    if check:
        manifest.check_files(folder, content)
    tasks = [
        Task(name, tuple(entry.labels), entry.columns) for name, entry in content.tasks.items()
    ]
    ctx = Context(
        device=torch.device(device),
        restoring=True,
        empty=content.form == "whole",
        folder=folder if content.form == "whole" else None,
        identity=Identity(
            content.backbone.fingerprint,
            content.backbone.config,
            content.backbone.hint,
            content.backbone.name,
        ),
        place=backbone,
    )
    recipe = parse(_qualified(content), source=str(folder))
    _check_recipe(recipe, content, folder)
    blueprint = plan(recipe, catalog.installed(), ctx)
    stored = load_tensors(folder / STATE) if STATE in content.files else {}
    parts = [m for m in content.methods if m.kind in ("strategy", "compressor")]
    states = [join(entry.state, stored) for entry in parts]
    built = assemble(blueprint, tasks, ctx, states)
    tensors = _read_tensors(folder, content)
    if content.form == "whole":
        built.finalize()
        _fill_strictly(built.model, tensors, set(tensors_of(built.model)), folder)
    else:
        _fill_strictly(built.model, tensors, set(built.delta(())), folder)
        built.finalize()
    return Predictor(built.model, tasks, content, folder)


def _qualified(content: Manifest) -> dict[str, Any]:
    """Return the recipe with every method named by its plugin, as it was trained.

    Only plugins that are installed are ever used: a name that the manifest gives is looked up in
    the catalog and nowhere else.
    """
    recipe = json.loads(json.dumps(content.recipe))
    entries = {
        (entry.kind, entry.name): f"{entry.plugin}:{entry.name}" for entry in content.methods
    }

    def qualify(kind: Any, choice: dict[str, Any]) -> None:
        bare = str(choice.get("name", "")).rpartition(":")[2]
        choice["name"] = entries.get((kind, bare), choice.get("name"))

    try:
        qualify("backbone", recipe["backbone"])
        for task in recipe["tasks"].values():
            qualify("head", task["head"])
        for kind, key in (("strategy", "strategies"), ("compressor", "compressors")):
            for choice in recipe.get(key, []):
                qualify(kind, choice)
    except (KeyError, AttributeError, TypeError) as error:
        raise IntegrityError(f"the manifest's recipe lacks {error}") from None
    return dict(recipe)


def _check_recipe(recipe: Recipe, content: Manifest, folder: Path) -> None:
    """Refuse a manifest whose recipe is not the one of its tasks and methods."""
    chosen = [("strategy", choice) for choice in recipe.strategies]
    chosen += [("compressor", choice) for choice in recipe.compressors]
    parts = [(kind, choice.name.rpartition(":")[2]) for kind, choice in chosen]
    stored = [(m.kind, m.name) for m in content.methods if m.kind in ("strategy", "compressor")]
    if set(recipe.tasks) != set(content.tasks) or parts != stored:
        raise IntegrityError(f"{folder}: the recipe in {manifest.NAME} is of another artifact")


def _read_tensors(folder: Path, content: Manifest) -> dict[str, Tensor]:
    """Return all model tensors under our names."""
    skipped = {STATE, PROBE}
    tensors: dict[str, Tensor] = {}
    for name in content.files:
        if not name.endswith(".safetensors") or name in skipped:
            continue
        found = load_tensors(folder / name)
        if name in content.renamed:
            theirs = {their: ours for ours, their in content.renamed[name].items()}
            found = {theirs.get(key, key): tensor for key, tensor in found.items()}
        tensors.update(found)
    if set(tensors) != set(content.tensors):
        raise IntegrityError(_difference(folder, set(content.tensors), set(tensors)))
    return tensors


def _fill_strictly(
    model: TaskModel, tensors: Mapping[str, Tensor], needed: set[str], folder: Path
) -> None:
    known = tensors_of(model)
    if needed - set(tensors) or set(tensors) - set(known):
        expected = needed | (set(tensors) & set(known))
        raise IntegrityError(_difference(folder, expected, set(tensors)))
    wrong = [
        f"{name} has shape {list(tensor.shape)}, the model's has {list(known[name].shape)}"
        for name, tensor in tensors.items()
        if tensor.shape != known[name].shape
    ]
    if wrong:
        raise IntegrityError(f"{folder}: tensors do not fit the model:{listed(wrong[:10])}")
    fill(model, tensors)


def _difference(folder: Path, expected: set[str], found: set[str]) -> str:
    lines = [f"missing: {name}" for name in sorted(expected - found)]
    lines += [f"unexpected: {name}" for name in sorted(found - expected)]
    more = [f"and {len(lines) - 10} more"] if len(lines) > 10 else []
    return f"{folder}: its tensors are not those of the model:{listed(lines[:10] + more)}"


# -- the proof


def _write_probe(model: TaskModel, folder: Path, probes: Mapping[str, Sequence[Example]]) -> None:
    """Write inputs without their targets, and what the model gives for them."""
    scores: dict[str, Tensor] = {}
    content = {}
    for task, examples in probes.items():
        head = model.head(task)
        targets = {column.role for column in head.columns if column.target}
        inputs = [{k: v for k, v in example.items() if k not in targets} for example in examples]
        scores[f"scores.{task}"], words = _outputs(model, task, inputs)
        content[task] = {"labels": list(head.task.labels), "inputs": inputs, "outputs": words}
    save_tensors(folder / PROBE, scores)
    write_json(folder / PROBE_JSON, content)


def _outputs(model: TaskModel, task: str, examples: Sequence[Example]) -> tuple[Tensor, list[Any]]:
    """Return a task's scores as one flat tensor of float32, and its predictions' words."""
    head = model.head(task)
    rows: list[Row] = head.features(examples, model.backbone)
    kept = run(model, task, rows)
    scores = torch.cat([torch.as_tensor(item).float().reshape(-1) for item in kept])
    return scores, [_words(prediction) for prediction in head.predict(kept, rows)]


def _words(value: Any) -> Any:
    """Return a prediction without its fractions, which the scores compare more closely."""
    if isinstance(value, Mapping):
        return {str(key): _words(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_words(item) for item in value]
    return None if isinstance(value, float) else value


@dataclass(frozen=True, slots=True)
class Check:
    """How far an artifact's outputs are from those that were saved with it.

    Args:
        rows: Probe examples compared.
        difference: Largest difference, as a share of the outputs' scale.
        same: Whether the labels, and what is predicted for every probe, are the same.
    """

    rows: int
    difference: float
    same: bool


def compare(predictor: Predictor) -> Check:
    """Run the probe of a loaded artifact and compare.

    Raises:
        IntegrityError: The probe is missing, or gives another number of outputs.
    """
    assert predictor.folder is not None
    saved = load_tensors(predictor.folder / PROBE)
    path = predictor.folder / PROBE_JSON
    worst, same, count = 0.0, True, 0
    for name, task in predictor.tasks.items():
        try:
            probe = json.loads(path.read_text("utf-8"))[name]
            labels, inputs, outputs = probe["labels"], probe["inputs"], probe["outputs"]
            before = saved[f"scores.{name}"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} has no probe of task {name}: {error}") from None
        now, words = _outputs(predictor.model, name, inputs)
        if before.shape != now.shape:
            raise IntegrityError(f"{predictor.folder}: the probe of task {name} changed its shape")
        scale = before.abs().max().clamp_min(1e-6)
        worst = max(worst, float((before - now).abs().max() / scale))
        same = same and labels == list(task.labels) and outputs == words
        count += len(inputs)
    return Check(count, worst, same)


def verify(folder: str | Path, *, backbone: str = "") -> Check:
    """Check an artifact's files, load it, and compare its outputs with the saved ones.

    Raises:
        IntegrityError: Something is not what was saved; also what ``load`` raises.
    """
    predictor = load(folder, backbone=backbone)
    assert predictor.manifest is not None
    check = compare(predictor)
    proof = predictor.manifest.proof
    limit = ELSEWHERE if proof is None else proof.elsewhere
    if not check.difference <= limit or not check.same:
        raise IntegrityError(
            f"{folder}: its outputs differ from the saved ones by {check.difference:.1e} of their "
            f"scale, accepted is {limit:.0e}"
            + ("" if check.same else ", and other labels are predicted"),
            hint="do not trust it before its author has explained the difference",
        )
    return check


def _prove(folder: Path, place: str) -> Proof:
    """Load the artifact in a fresh process with other random numbers, and compare there."""
    [answer] = check_in_fresh_process([folder], place)
    if "error" in answer:
        raise IntegrityError(f"a fresh process cannot load what was saved: {answer['error']}")
    if not answer["difference"] <= TOLERANCE:
        raise IntegrityError(
            f"what a fresh process loads gives outputs that differ by {answer['difference']:.1e} "
            f"of their scale, accepted is {TOLERANCE:.0e}; nothing was saved",
            hint="some part does not keep all of its state: try the parts one by one",
        )
    return Proof(
        rows=answer["rows"],
        difference=answer["difference"],
        tolerance=TOLERANCE,
        elsewhere=ELSEWHERE,
    )


def check_in_fresh_process(folders: Iterable[Path], place: str = "") -> list[dict[str, Any]]:
    """Load artifacts in one new process and return its findings, one mapping for each."""
    command = [sys.executable, "-m", "hub_core.fresh", place, *map(str, folders)]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", env=environment, check=False
    )
    if done.returncode != 0:
        raise ArtifactError(f"the checking process failed: {done.stderr.strip()[-2000:]}")
    answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answers


# -- one task of several


def extract(folder: str | Path, task: str, out: str | Path) -> Manifest:
    """Write an artifact with one task of a trained one; only files are touched, no model.

    Raises:
        ArtifactError: There is no such task, or ``out`` exists.
    """
    folder, target = Path(folder), Path(out)
    if target.exists():
        raise ArtifactError(f"{target} exists already", hint="choose another folder")
    content = manifest.read(folder)
    manifest.check_files(folder, content)
    if task not in content.tasks:
        raise ArtifactError(f"{folder} has no task '{task}'", hint=f"it has {list(content.tasks)}")
    gone = [f"head.{name}.safetensors" for name in content.tasks if name != task]
    with new_folder(target) as partial:
        for name in content.files:
            if name not in (*gone, PROBE, PROBE_JSON):
                shutil.copyfile(folder / name, partial / name)
        probes = json.loads((folder / PROBE_JSON).read_text("utf-8"))
        write_json(partial / PROBE_JSON, {task: probes[task]})
        scores = load_tensors(folder / PROBE)[f"scores.{task}"]
        save_tensors(partial / PROBE, {f"scores.{task}": scores})
        own = tuple(f"heads.{name}." for name in content.tasks if name != task)
        recipe = {**content.recipe, "tasks": {task: content.recipe["tasks"][task]}}
        content = content.model_copy(
            update={
                "recipe": recipe,
                "tasks": {task: content.tasks[task]},
                "tensors": [name for name in content.tensors if not name.startswith(own)],
                "files": manifest.describe_files(partial),
                "lineage": [*content.lineage, {"step": "extract", "task": task}],
            }
        )
        manifest.write(partial, content)
        manifest.read(partial)
    return content
