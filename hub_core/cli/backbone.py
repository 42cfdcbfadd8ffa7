"""What ``--backbone`` means: a method, ``METHOD=VALUE``, or a model for the only one taking it."""

from __future__ import annotations

import re
from typing import Any

from hub_core.catalog import Catalog, Provided
from hub_core.cli.output import complaints
from hub_core.cli.settings import same
from hub_core.declare import NAME
from hub_core.errors import RecipeError

_FULL_NAME = re.compile(f"{NAME.pattern}:{NAME.pattern}")


def backbone_choice(text: str, old: Any, catalog: Catalog) -> dict[str, Any]:
    """Return the choice that ``--backbone TEXT`` makes.

    Args:
        text: What was given; a path that looks like a method is written ``./path``.
        old: The recipe's own choice, or None; it decides where several backbones take a model.
        catalog: What is installed.

    Raises:
        RecipeError: It is not clear which backbone is meant.
        UnknownMethodError: It names a method that is not installed.
    """
    name, sign, value = text.partition("=")
    if not _is_method(name, catalog, certain=bool(sign)):
        return _given_a_model(text, old, catalog)
    method = catalog.find("backbone", name).method
    if not sign:
        return {"name": name}
    if not method.reference:
        raise RecipeError(
            f"--backbone {text}: {name} takes no value here",
            hint=f"'hub show {name}' lists its options, --set {name}.OPTION=VALUE sets one",
        )
    return {"name": name, method.reference: value}


def _is_method(name: str, catalog: Catalog, *, certain: bool) -> bool:
    """Return whether a text names a method; ``certain`` if only a method can stand there."""
    if _FULL_NAME.fullmatch(name) or (certain and NAME.fullmatch(name)):
        return True
    return any(provided.method.name == name for provided in catalog.methods("backbone"))


def _given_a_model(text: str, old: Any, catalog: Catalog) -> dict[str, Any]:
    takers = [p for p in catalog.methods("backbone") if p.method.reference]
    chosen = old.get("name", "") if isinstance(old, dict) else old
    if len(takers) > 1 and isinstance(chosen, str):
        takers = [p for p in takers if same(chosen, p.full_name)] or takers
    if len(takers) == 1:
        return {"name": _shortest(takers[0], catalog), takers[0].method.reference: text}
    if takers:
        ways = [f"--backbone {_shortest(p, catalog)}={text}" for p in takers]
        raise RecipeError(
            f"--backbone {text}: several installed backbones take a model",
            hint=f"write {' or '.join(ways)}",
        )
    raise RecipeError(
        f"--backbone {text}: no installed backbone is named like this or takes a model",
        hint="; ".join([*complaints(catalog.plugins()), "'hub methods' lists what is installed"]),
    )


def _shortest(provided: Provided, catalog: Catalog) -> str:
    """Return the bare name, or the full one where several plugins provide the bare one."""
    name = provided.method.name
    rivals = [p for p in catalog.methods(provided.kind) if p.method.name == name]
    return name if len(rivals) == 1 else provided.full_name
