"""Masks are as large as wanted, kept in bits, and asked for with options within bounds."""

import pytest
import torch

from hub_schedules.bits import packed, unpacked
from hub_schedules.fisher import largest
from hub_schedules.mask_options import ChildTuningOptions, FishMaskOptions, MixoutOptions


def test_the_largest_are_exactly_as_many_as_wanted_even_if_all_are_equal():
    assert largest(torch.tensor([0.1, 3.0, 0.2, 2.0]), 2).tolist() == [1, 3]
    assert len(largest(torch.zeros(100), 30).unique()) == 30


@pytest.mark.parametrize("count", [1, 7, 8, 9, 1001])
def test_a_mask_takes_a_bit_for_each_entry_and_comes_back(count):
    mask = torch.rand(count, generator=torch.Generator().manual_seed(count)) < 0.3
    assert packed(mask).nbytes == -(-count // 8)
    assert torch.equal(unpacked(packed(mask), count), mask)


def test_options_are_bounded():
    for options, wrong in (
        (ChildTuningOptions, {"p": 0}),
        (ChildTuningOptions, {"variant": "guided"}),
        (FishMaskOptions, {"density": 0}),
        (MixoutOptions, {"p": 1}),
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            options(**wrong)
