"""Subsets of a backbone's parameters by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from hub_basics.blocks import embeddings
from hub_core.model import TaskModel
from hub_core.part import Chosen

ENDINGS = ("LayerNorm", "RMSNorm")
"""How models call their own norms that torch does not have."""


def _norms(model: TaskModel) -> Chosen:
    return _of(*(module for module in model.backbone.modules() if _is_norm(module)))


def _is_norm(module: nn.Module) -> bool:
    known = isinstance(module, nn.LayerNorm | nn.RMSNorm)
    return known or type(module).__name__.endswith(ENDINGS)


def _embeddings(model: TaskModel) -> Chosen:
    return _of(embeddings(model))


def _pooler(model: TaskModel) -> Chosen:
    path = model.backbone.layout.pooler
    return _of(model.get_submodule(f"backbone.{path}")) if path else frozenset()


def _attention(model: TaskModel) -> Chosen:
    roles = ("query", "key", "value", "qkv", "attention-out")
    return _of(*(linear for _, linear in model.linears(*roles)))


def _feed_forward(model: TaskModel) -> Chosen:
    return _of(*(linear for _, linear in model.linears("up", "gate", "down")))


def _of(*modules: nn.Module) -> Chosen:
    return frozenset(p for module in modules for p in module.parameters())


GROUPS: Mapping[str, Callable[[TaskModel], Chosen]] = {
    "norms": _norms,
    "embeddings": _embeddings,
    "pooler": _pooler,
    "attention": _attention,
    "feed-forward": _feed_forward,
}
"""Name to a function that returns the parameters; empty where a backbone has none."""
