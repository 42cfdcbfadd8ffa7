"""What a method can do, measured: the suites' checks as plain data, for catalogs of methods."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hub_core.artifact import ADAPTER, PLAIN
from hub_core.catalog import Catalog, Provided, installed
from hub_core.declare import KINDS, Kind
from hub_core.errors import PluginError, UnknownMethodError
from hub_core.testing.checks import announced, finishing
from hub_core.testing.models import BackboneTests, HeadTests
from hub_core.testing.parts import CompressorTests, StrategyTests
from hub_core.testing.suite import Given, Suite

SUITES: Mapping[Kind, type[Suite]] = {
    "backbone": BackboneTests,
    "head": HeadTests,
    "strategy": StrategyTests,
    "compressor": CompressorTests,
}
CAPABILITIES = {
    "trains": "test_the_loss_falls",
    "saves_and_loads": "test_a_new_process_gives_the_same_outputs",
    "resumes": "test_resume_equals_a_straight_run",
    "repeats": "test_same_seed_same_result",
    "composes": "test_composes_or_is_refused_for_a_tag",
    "bfloat16": "test_trains_in_bfloat16",
    "moves": "test_it_moves_with_the_model",
}
"""Capability to the test that shows it; it holds if the test passes with every case."""


def facts(
    method: str | Provided | type[Suite],
    cases: Mapping[str, Given] | None = None,
    backbones: Mapping[str, Given] | None = None,
) -> dict[str, Any]:
    """Run a method's suite and return what it measured, as JSON has it.

    Args:
        method: A method's name, ``plugin:name`` or ``name``; or the class that tests it, which
            knows its cases, partners and known failures.
        cases: Label to options, where a name is given; its defaults if left out.
        backbones: Label to a backbone's name and options, or to a function of a scratch folder
            that returns them: it is tried on these too.

    Returns:
        ``method`` and ``kind``; ``cases``; for each of ``trains``, ``saves_and_loads``,
        ``resumes``, ``repeats``, ``composes``, ``bfloat16`` and ``moves`` whether it holds in
        every case; for strategies ``merges``, whether what was added can be folded in, for
        compressors ``change``, the largest change of the outputs as a share of their scale;
        ``backbones``, each with ``holds``, why it is ``refused`` or how it ``failed``;
        ``exports``, for each of them the files by which other libraries open what was trained;
        ``refused``, what else it is refused with and why; ``failures``, test to reason;
        ``import_seconds`` of the plugin's light module; and the ``seconds`` that all of it took.

    Raises:
        UnknownMethodError: No plugin provides the method.
        AmbiguousMethodError: Several do.
    """
    suite = method if isinstance(method, type) else _suite(method, cases)
    if backbones is not None:
        suite = type(suite.__name__, (suite,), {"backbones": {**suite.backbones, **backbones}})
    started = time.perf_counter()
    try:
        failures = dict(failed(suite))
        measured = _measured(suite)
    finally:
        suite.teardown_class()
    names = {name.partition("[")[0] for name in suite.all_tests()}
    failing = {name.partition("[")[0] for name in failures}
    return {
        "method": suite.method,
        "kind": suite.kind,
        "cases": list(suite._labelled),
        **{able: test not in failing for able, test in CAPABILITIES.items() if test in names},
        **measured,
        "failures": failures,
        "seconds": round(time.perf_counter() - started, 1),
    }


def failed(suite: type[Suite]) -> Iterator[tuple[str, str]]:
    """Run a suite's tests without pytest and yield those that fail, with the reason."""
    for name in suite.all_tests():
        test, _, label = name.rstrip("]").partition("[")
        try:
            getattr(suite(), test)(*([label] if label else []))
        except Exception as error:  # whatever it raises is what is found
            yield name, str(error) or type(error).__name__


def _measured(suite: type[Suite]) -> dict[str, Any]:
    """Return what cannot be told from which tests fail."""
    backbones: dict[str, str] = {}
    refused: dict[str, str] = {}
    exports: dict[str, list[str]] = {}
    merges, change = True, 0.0
    for label in suite._labelled:
        with suite().trial(label) as trial:
            try:
                for name, outcome in trial.company.items():
                    text = _one_line(outcome.refused or outcome.failed)
                    if name.startswith("on "):
                        how = "refused: " if outcome.refused else "failed: "
                        backbones.setdefault(name[3:], how + text if text else "holds")
                        exports.setdefault(name[3:], _opened_by_others(outcome.folder))
                    elif outcome.refused:
                        refused.setdefault(name, text)
                if suite.kind == "strategy":
                    merges = finishing.bakes(trial) and merges
                if suite.kind == "compressor":
                    change = max(change, finishing.change(trial.rehearse()))
            except Exception:  # a test has failed for the same reason, and is told
                merges, change = False, float("nan")
    exports = {name: files for name, files in exports.items() if files}
    found: dict[str, Any] = {
        "backbones": backbones,
        "exports": exports,
        "refused": refused,
        "import_seconds": _import_seconds(suite),
    }
    if suite.kind == "strategy":
        found["merges"] = merges
    if suite.kind == "compressor":
        found["change"] = round(change, 4) if change == change else None
    return found


def _import_seconds(suite: type[Suite]) -> float | None:
    with suite._surrounded() as (_, provided):
        try:
            return round(announced.light(provided), 2)
        except AssertionError:  # a test has failed for the same reason, and is told
            return None


def _opened_by_others(folder: Path | None) -> list[str]:
    """Return the files of an artifact that the libraries they belong to open."""
    return [] if folder is None else [n for n in (ADAPTER, PLAIN) if (folder / n).is_file()]


def _one_line(text: str) -> str:
    return " ".join(text.replace("these do not compose:", "").split()).removeprefix("- ")


def _suite(method: str | Provided, cases: Mapping[str, Given] | None) -> type[Suite]:
    """Return a suite for a method that has no class of its own here."""
    found = method if isinstance(method, Provided) else _find(installed(), method)
    given = {"default": {}} if cases is None else cases
    base = SUITES[found.kind]
    return type("Measured", (base,), {"method": found.full_name, "cases": given})


def _find(catalog: Catalog, name: str) -> Provided:
    kinds = {p.kind for p in catalog.methods() if name in (p.method.name, p.full_name)}
    for kind in KINDS:
        if kind in kinds:
            return catalog.find(kind, name)
    raise UnknownMethodError(
        f"no installed plugin provides a method named '{name}'",
        hint="'hub methods' lists what is installed",
    )


def suites_in(path: Path) -> list[type[Suite]]:
    """Return the suites' classes that a plugin's test file defines.

    Raises:
        PluginError: The file cannot be imported.
    """
    spec = importlib.util.spec_from_file_location(f"conformance_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    values = vars(module).values()
    return [v for v in values if isinstance(v, type) and issubclass(v, Suite) and v.method]
