"""Pruning keeps what every compressor keeps, and reports the zeros that are there."""

from typing import ClassVar

from hub_core.testing import CompressorTests


def share_of_zeros(model):
    weights = [linear.weight for _, linear in model.linears()]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


class TestPruneMagnitude(CompressorTests):
    method = "hub-prune:prune-magnitude"
    cases = ({}, {"sparsity": 0.3, "scope": "global"}, {"sparsity": 0})
    tolerance = 0.6  # half of all weights go at once, and nothing is trained afterwards
    figures: ClassVar = {"sparsity": share_of_zeros}
