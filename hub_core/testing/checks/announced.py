"""What a plugin announces: light to import, well named, with options that explain themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from hub_core.catalog import Catalog, Provided
from hub_core.declare import NAME
from hub_core.errors import PluginError
from hub_core.testing.expecting import expect, some
from hub_core.testing.surroundings import in_new_process
from hub_core.testing.trial import Trial

HEAVY = ("torch", "transformers", "peft", "datasets", "numpy")
IMPORTING = """
import contextlib, importlib, io, json, sys, time
from hub_core.spec import HubSpecs
module, heavy = sys.argv[1], sys.argv[2].split(",")
before, printed, begun = set(sys.modules), io.StringIO(), time.perf_counter()
with contextlib.redirect_stdout(printed):
    importlib.import_module(module)
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "printed": printed.getvalue(),
                  "heavy": [name for name in heavy if name in sys.modules]}))
"""
BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")


def light(provided: Provided) -> float:
    """Check that listing methods stays fast; return the seconds that the import takes.

    Raises:
        ConformanceError: The plugin's module imports what is heavy, or prints.
    """
    module = provided.plugin.module
    found = json.loads(in_new_process("-c", IMPORTING, module, ",".join(HEAVY)).splitlines()[-1])
    expect(
        not found["heavy"],
        f"importing {module} imports {', '.join(found['heavy'])} and takes {found['seconds']:.2f} "
        "seconds; name the factory as 'module:Class' and import it nowhere in there",
    )
    expect(not found["printed"], f"importing {module} prints {found['printed'][:60]!r}")
    return float(found["seconds"])


def named(provided: Provided) -> None:
    """Check name, summary, places and links.

    Raises:
        ConformanceError: One of them breaks its rule.
    """
    method = provided.method
    expect(NAME.fullmatch(method.name), f"{method.name} is no method name")
    summary = method.summary
    expect(
        summary == summary.strip() and not summary.endswith((".", "!")),
        f"the summary {summary!r} should neither end in a full stop nor have space around it",
    )
    expect(summary[:1] == summary[:1].upper(), f"the summary {summary!r} begins in lower case")
    expect(
        method.paper == "" or method.paper.startswith("https://"),
        f"paper = {method.paper!r} is no https address",
    )
    for which in ("factory", "options"):
        place = getattr(method, which)
        package = place.partition(".")[0].partition(":")[0]
        own = provided.plugin.module.partition(".")[0]
        expect(
            package in (own, "hub_core"),
            f"{which} = {place!r} lies in another package than {provided.plugin.module}",
        )
    try:
        provided.factory()
    except PluginError as error:
        raise AssertionError(error.message) from error


def alone(provided: Provided, catalog: Catalog) -> None:
    """Check that the bare name means this method.

    Raises:
        ConformanceError: Another installed plugin has a method of that name and kind.
    """
    others = [
        p.full_name
        for p in catalog.methods(provided.kind)
        if p.method.name == provided.method.name and p.full_name != provided.full_name
    ]
    expect(not others, f"{provided.method.name} is also the name of {some(others)}")


def described(provided: Provided) -> None:
    """Check the model of the options.

    Raises:
        ConformanceError: It takes what it does not know, can be changed, or explains too little.
    """
    model = provided.options_class()
    _closed(model)
    for name, info in model.model_fields.items():
        expect(
            (info.description or "").strip(),
            f"option {name} has no description: Field(description=…)",
        )
        needed = info.is_required() and provided.kind in ("head", "strategy")
        expect(not needed, f"option {name} has no default")
        unbound = [kind for kind in _numbers(info.annotation) if not _bounds(info)]
        expect(
            not unbound,
            f"option {name} is a number without bounds: Field(ge=…, le=…) refuses what cannot work",
        )
    given = {n: i.get_default(call_default_factory=True) for n, i in model.model_fields.items()
             if not i.is_required()}  # fmt: skip
    required = {name for name, info in model.model_fields.items() if info.is_required()}
    problems = [] if required else list(_refused(model, given))
    expect(not problems, f"the defaults break the options' own rules: {some(problems)}")
    json.dumps(model.model_json_schema())


def _closed(model: type[BaseModel]) -> None:
    config = model.model_config
    expect(config.get("extra") == "forbid", f"{model.__name__} takes options that it does not know")
    expect(config.get("frozen") is True, f"{model.__name__} can be changed after it was checked")


def _numbers(annotation: Any) -> Iterator[Any]:
    """Yield the numeric types in an annotation; truth values and literals are no numbers."""
    if annotation in (int, float):
        yield annotation
    if get_origin(annotation) is not Literal:
        for inner in get_args(annotation):
            yield from _numbers(inner)


def _bounds(info: FieldInfo) -> bool:
    """Return whether a field has a bound, of its own or of its items."""
    return any(hasattr(rule, bound) for rule in _rules(info, info.annotation) for bound in BOUNDS)


def _rules(info: FieldInfo, annotation: Any) -> Iterator[Any]:
    yield from info.metadata
    for inner in get_args(annotation):
        for extra in getattr(inner, "__metadata__", ()):  # Annotated[int, Field(ge=1)] of a list
            yield from getattr(extra, "metadata", [extra])


def _refused(model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[str]:
    try:
        model(**values)
    except ValidationError as error:
        yield from (str(problem["msg"]) for problem in error.errors())


def accepted(trial: Trial) -> None:
    """Check that a case's options are accepted and survive being written to a recipe.

    Raises:
        OptionsError: They are not.
        ConformanceError: What comes back from a recipe is something else.
    """
    options = trial.provided.options(trial.options)
    again = trial.provided.options(json.loads(options.model_dump_json()))
    expect(again == options, "the options are others after they were written to JSON and read")
