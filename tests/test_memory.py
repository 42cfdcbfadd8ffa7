"""Less memory for the same bits, batches that are accumulated, and a sentence at the end of it."""

import pytest
import torch
import toydata

import hub_core
from hub_core import memory
from hub_core.errors import TrainingError
from hub_core.model import Row


def losses_of(strategies, **training):
    found = []
    values = toydata.recipe(strategies=strategies, **training)
    values["tasks"]["main"]["head"] = {"name": "classification", "dropout": 0.3}
    hub_core.train(
        values, toydata.labelled(48),
        report=lambda event, figures: found.append(figures["loss"]) if event == "step" else None,
    )  # fmt: skip
    return found


@pytest.mark.parametrize("strategies", [["full"], ["lora"]])
def test_gradient_checkpointing_gives_the_same_bits(strategies):
    assert losses_of(strategies, gradient_checkpointing=True) == losses_of(strategies)


def test_gradient_checkpointing_computes_layers_again(monkeypatch):
    calls = []
    checkpoint = memory.checkpoint

    def counted(*args, **kwargs):
        calls.append(torch.is_grad_enabled())
        return checkpoint(*args, **kwargs)

    monkeypatch.setattr(memory, "checkpoint", counted)
    losses = losses_of(["full"], gradient_checkpointing=True)
    assert calls.count(True) == 2 * len(losses)  # two layers


def test_layers_are_as_they_were_after_gradient_checkpointing():
    values = toydata.recipe(strategies=["full"], gradient_checkpointing=True)
    result = hub_core.train(values, toydata.labelled(48))
    assert all("forward" not in vars(layer) for layer in result.predictor.model.layers())


def test_two_accumulated_batches_are_one_step():
    steps = len(losses_of(["full"], epochs=1))
    assert steps == 5
    assert len(losses_of(["full"], epochs=1, accumulate=2)) == 3  # the last one has one batch


def test_accumulated_batches_give_the_gradient_of_one_that_holds_them(monkeypatch):
    """Batches of four in pairs against batches of eight, of the same rows."""
    from hub_core.order import Order

    batches = Order.batches

    def in_pairs(self, epoch, start, plan):
        found = [(task, list(rows)) for task, rows in batches(self, epoch, start, plan)]
        rows = sorted((r for _, rows in found for r in rows), key=lambda r: r.index)
        size = values["training"]["batch_examples"]
        return [("main", rows[i : i + size]) for i in range(0, len(rows), size)]

    training = {"batch_tokens": 10**6, "epochs": 1}
    values = toydata.recipe(strategies=["full"], **training)
    monkeypatch.setattr(Order, "batches", in_pairs)
    values["tasks"]["main"] = {"head": {"name": "classification", "dropout": 0.0},
                               "validation": 0, "test": 0}  # fmt: skip
    found = []
    for size, several in ((8, 1), (4, 2)):
        values["training"] |= {"batch_examples": size, "accumulate": several}
        losses = []
        hub_core.train(values, toydata.labelled(48), report=lambda event, figures, losses=losses: (
            losses.append(figures["loss"]) if event == "step" else None))  # fmt: skip
        found.append(losses)
    assert len(found[0]) == 6
    assert found[1] == pytest.approx(found[0], abs=1e-5)


def rows(*lengths):
    return [Row({"ids": [0] * n}, {}, number) for number, n in enumerate(lengths)]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: "
                     "can't allocate memory: you tried to allocate 4 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        MemoryError(),
    ],
)  # fmt: skip
def test_a_batch_that_does_not_fit_names_what_to_lower(error):
    with pytest.raises(TrainingError) as caught, memory.told_if_memory_ends(7, rows(5, 64, 9)):
        raise error
    assert caught.value.message == (
        "there is not enough memory for step 7: 3 rows of up to 64 tokens, 192 with padding"
    )
    assert caught.value.hint == (
        "lower training.batch_tokens below 192 and make up for it with training.accumulate, cut "
        "the texts to fewer tokens, use --precision bf16, or set "
        "training.gradient_checkpointing = true"
    )


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), memory.told_if_memory_ends(1, []):
        raise RuntimeError("shapes differ")


def test_an_allocation_that_really_fails_is_told():
    with pytest.raises(TrainingError), memory.told_if_memory_ends(1, rows(3)):
        torch.empty(2**50)


@pytest.mark.exhaustive
def test_compiled_layers_give_about_the_same_losses_and_are_left_as_they_were():
    plain = losses_of(["full"], epochs=1)
    assert losses_of(["full"], epochs=1, compile=True) == pytest.approx(plain, abs=1e-2)


def test_compiling_is_asked_of_every_layer_and_taken_back(monkeypatch):
    seen = []
    compile_layer = torch.nn.Module.compile

    def eager(self, **kwargs):
        seen.append(kwargs)
        compile_layer(self, backend="eager", **kwargs)

    monkeypatch.setattr(torch.nn.Module, "compile", eager)
    values = toydata.recipe(strategies=["full"], compile=True, epochs=1)
    result = hub_core.train(values, toydata.labelled(24))
    assert seen == [{"dynamic": True}] * 2
    assert all(layer._compiled_call_impl is None for layer in result.predictor.model.layers())
