"""Tensors that are mostly zeros take few bytes in a file, and come back to the bit."""

import pytest
import torch

from hub_core.errors import IntegrityError
from hub_core.sparse import packed, stored_bytes, unpacked


def mostly_zero(*shape, keep=0.1, dtype=torch.float32):
    chance = torch.Generator().manual_seed(0)
    dense = torch.randn(shape, generator=chance)
    gone = torch.rand(shape, generator=chance) >= keep
    return dense.masked_fill(gone, 0.0).to(dtype)


def size(tensors):
    return sum(t.numel() * t.element_size() for t in tensors.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8])
def test_they_come_back_to_the_bit(dtype):
    tensors = {"sparse": mostly_zero(37, 129, dtype=dtype), "small": torch.zeros(8, dtype=dtype)}
    found = unpacked(packed(tensors))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], tensor)


def test_bytes_are_a_bit_for_each_place_and_the_values():
    tensor = mostly_zero(64, 64, keep=0.25)
    kept = int((tensor != 0).sum())
    assert size(packed({"w": tensor})) == 64 * 64 // 8 + 4 * kept + 2 * 8
    assert stored_bytes({"w": tensor}) == size(packed({"w": tensor}))
    dense = {"w": torch.randn(64, 64), "small": torch.zeros(8)}
    assert stored_bytes(dense) == size(dense)


def test_what_would_not_become_smaller_is_left_alone():
    tensors = {"dense": torch.randn(64, 64), "flags": torch.zeros(4096, dtype=torch.bool)}
    assert {name: id(t) for name, t in packed(tensors).items()} == {
        name: id(t) for name, t in tensors.items()
    }


def test_the_sign_of_a_zero_is_kept():
    tensor = torch.zeros(2048)
    tensor[3] = -0.0
    found = unpacked(packed({"w": tensor}))["w"]
    assert torch.equal(found.view(torch.int32), tensor.view(torch.int32))


def test_a_tensor_without_values_and_one_without_rows_come_back():
    tensors = {"zeros": torch.zeros(50, 50), "empty": torch.zeros(0, 5)}
    found = unpacked(packed(tensors))
    assert {name: t.shape for name, t in found.items()} == {
        name: t.shape for name, t in tensors.items()
    }


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"w|values": torch.ones(3)}, "there are 3 values for"),
        ({"w|shape": torch.tensor([10**6, 10**6])}, "do not fit the shape"),
        ({"w|shape": torch.tensor([-64, -64])}, "do not fit the shape"),
        ({"w|places": torch.zeros(7, dtype=torch.uint8)}, "do not fit the shape"),
    ],
)
def test_pieces_that_do_not_belong_together_are_refused_before_memory_is_taken(change, problem):
    pieces = packed({"w": mostly_zero(64, 64)}) | change
    with pytest.raises(IntegrityError, match=f"the packed tensor w is damaged: .*{problem}"):
        unpacked(pieces)


def test_a_missing_piece_is_told():
    pieces = packed({"w": mostly_zero(64, 64)})
    del pieces["w|values"]
    with pytest.raises(IntegrityError, match="the packed tensor w is damaged"):
        unpacked(pieces)
