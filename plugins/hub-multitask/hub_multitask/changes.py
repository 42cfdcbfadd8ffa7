"""What a trained adapter adds to the linear layers of its backbone, as low-rank factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hub_core.errors import IncompatibleError
from hub_core.identity import Identity
from hub_core.model import TaskModel, tensors_of

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to a linear layer's output: up (down x) + shift.

    Args:
        down: (r, in).
        up: (out, r).
        shift: What the bias gained, (out,), or None where it is the same.
    """

    down: Tensor
    up: Tensor
    shift: Tensor | None

    @property
    def rank(self) -> int:
        """The rank r; 0 where only the bias is another."""
        return len(self.down)


def changes_of(name: str, adapted: TaskModel, plain: TaskModel, largest: int) -> dict[str, Change]:
    """Return path to change of every linear layer that an adapter changes.

    Args:
        name: What the adapter is called, for refusals.
        adapted: The loaded artifact's model; what is beside its linear layers is folded in.
        plain: A model whose backbone is as it was pre-trained.
        largest: Largest rank.

    Raises:
        IncompatibleError: It is of another backbone, changes nothing, changes something that is no
            linear layer, or changes one by a matrix of a larger rank.
    """
    _refuse_other(name, adapted.backbone.identity, plain.backbone.identity)
    _fold(name, adapted)
    _refuse_elsewhere(name, adapted, plain)
    now, found = dict(adapted.linears()), {}
    for path, before in plain.linears():
        change = _change(now[path], before)
        if change is not None:
            found[path] = change
            if change.rank > largest:
                raise IncompatibleError(
                    f"fusion: the adapter {name} changes {path} by a matrix of rank "
                    f"{change.rank}, more than largest_rank = {largest}",
                    hint="raise largest_rank, or fuse adapters of a lower rank",
                )
    if not found:
        raise IncompatibleError(
            f"fusion: the adapter {name} changes no linear layer of its backbone",
            hint="leave it out",
        )
    return found


def _refuse_other(name: str, theirs: Identity, ours: Identity) -> None:
    if theirs.fingerprint != ours.fingerprint:
        raise IncompatibleError(
            f"fusion: the adapter {name} was trained on the backbone {_told(theirs)}, the recipe "
            f"has {_told(ours)}",
            hint="fuse adapters of the recipe's backbone",
        )


def _told(identity: Identity) -> str:
    return f"{identity.name or 'without a name'} ({identity.fingerprint[:16]}…)"


def _fold(name: str, adapted: TaskModel) -> None:
    for path, _ in list(adapted.linears()):
        try:
            adapted.bake(path)
        except IncompatibleError as error:
            raise IncompatibleError(
                f"fusion: what the adapter {name} adds is no change of a matrix: {error.message}",
                hint="fuse adapters that can be folded into linear layers, such as those of lora",
            ) from None


def _refuse_elsewhere(name: str, adapted: TaskModel, plain: TaskModel) -> None:
    """Refuse an adapter that changes, adds or removes anything but linear layers' tensors."""
    theirs, ours = tensors_of(adapted.backbone), tensors_of(plain.backbone)
    linear = {id(p) for _, layer in plain.linears() for p in layer.parameters(recurse=False)}
    pooler = f"{plain.backbone.layout.pooler}." if plain.backbone.layout.pooler else None
    names = {*theirs, *ours} - {
        key for key in {*ours} - {*theirs} if pooler and key.startswith(pooler)
    }  # an adapter may have been trained without the pooling layer
    other = [key for key in sorted(names) if not (
        key in theirs and key in ours and theirs[key].shape == ours[key].shape
        and (id(ours[key]) in linear or torch.equal(theirs[key], ours[key]))
    )]  # fmt: skip
    if other:
        more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
        raise IncompatibleError(
            f"fusion: the adapter {name} changes more than linear layers: "
            f"{', '.join(other[:SHOWN])}{more}",
            hint="fuse adapters that change linear layers alone, such as those of lora",
        )


def _change(now: nn.Linear, before: nn.Linear) -> Change | None:
    difference = now.weight.detach().double() - before.weight.detach().double()
    shift = None
    if now.bias is not None and not torch.equal(now.bias, before.bias):
        shift = (now.bias - before.bias).detach().clone()
    if shift is None and not difference.any():
        return None
    down, up = factors(difference, float(now.weight.detach().abs().max()))
    return Change(down.to(before.weight), up.to(before.weight), shift)


def factors(difference: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return (r, in) and (out, r) whose product is a matrix, r being its numerical rank.

    Singular values count where they exceed what rounding to float32 leaves in a difference of two
    matrices whose entries are up to ``scale``.
    """
    left, values, right = torch.linalg.svd(difference, full_matrices=False)
    rounding = torch.finfo(torch.float32).eps * scale * sum(n**0.5 for n in difference.shape)
    rank = int((values > rounding).sum())
    root = values[:rank].sqrt()
    return root[:, None] * right[:rank], left[:, :rank] * root


Sizes = list[Mapping[str, int]]
"""For each adapter the rank of its change of a layer, and whether it has a shift: 0 or 1."""


def sizes_of(changes: list[Change | None]) -> Sizes:
    """Return what a wrapper must know of changes before it has them."""
    return [
        {"rank": 0 if c is None else c.rank, "shift": int(c is not None and c.shift is not None)}
        for c in changes
    ]
