"""What lies below all that trains is computed once, and nothing comes out differently."""

import errno
import logging

import pytest
import tinymodels
import torch
import toydata

import hub_core
from hub_core import cachefiles, features, prefix
from hub_core.declare import Stage
from hub_core.features import Features, key_of
from hub_core.prefix import depths_of, lasting_depth
from hub_core.timeline import Plan

FAMILIES = ["bert", "distilbert", "modernbert", "roberta"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: str(tinymodels.save(name, root / name)) for name in FAMILIES}


def trained(backbone, strategies, *, compressors=(), watch=None, **training):
    """Train and return the losses of all steps, the result, and the depths that were kept."""
    losses = []
    values = toydata.recipe(
        backbone=backbone, strategies=strategies, compressors=compressors,
        **{"epochs": 3, **training},
    )  # fmt: skip

    def report(event, figures):
        if event == "step":
            losses.append(figures["loss"])
            if watch is not None:
                watch()

    return losses, hub_core.train(values, toydata.labelled(60), report=report)


@pytest.fixture
def depths(monkeypatch):
    """The depths for which features were kept."""
    found = []
    fill = prefix.Prefix._fill

    def noted(self, depth):
        done = fill(self, depth)
        found.append(depth if done else None)
        return done

    monkeypatch.setattr(prefix.Prefix, "_fill", noted)
    return found


TOP = {"name": "top-layers", "layers": 1}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("strategy", "depth"), [("head-only", 2), (TOP, 1)], ids=["head", "top"])
def test_kept_features_give_the_losses_of_computed_ones(models, depths, family, strategy, depth):
    backbone = {"name": "transformers", "model": models[family]}
    cached, first = trained(backbone, [strategy])
    plain, second = trained(backbone, [strategy], cache_limit=0)
    assert depths == [depth]
    assert cached == pytest.approx(plain, abs=2e-5)
    for split, metrics in second.metrics["main"].items():
        assert first.metrics["main"][split] == pytest.approx(metrics, abs=1e-4)


def test_bf16_features_give_about_the_same_losses(models):
    backbone = {"name": "transformers", "model": models["bert"]}
    cached, _ = trained(backbone, ["head-only"], precision="bf16")
    plain, _ = trained(backbone, ["head-only"], precision="bf16", cache_limit=0)
    assert cached == pytest.approx(plain, rel=2e-2)


@pytest.mark.parametrize(
    "strategies",
    [["full"], ["lora"], ["toy-prefix"], ["top-layers"], ["head-only", "toy-mask"]],
    ids=["full", "lora", "prefix", "all-layers", "mask"],
)
def test_nothing_is_kept_where_everything_may_change(depths, strategies):
    compressors = [s for s in strategies if s == "toy-mask"]
    strategies = [s for s in strategies if s != "toy-mask"]
    trained("toy-encoder", strategies, compressors=compressors)
    assert depths == []


def test_layers_below_run_once_for_each_text(models):
    """Counted by a hook on the lowest layer: epochs add no calls, but for one check in each."""
    backbone = {"name": "transformers", "model": models["bert"]}
    calls = {}
    for epochs in (3, 6):
        count = []
        handle = torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, _, count=count: (
                count.append(1) if type(module).__name__ == "BertLayer" else None
            )
        )
        _, result = trained(backbone, ["head-only"], epochs=epochs)
        handle.remove()
        calls[epochs] = len(count)
        assert len(result.history) == epochs
    assert calls[6] - calls[3] == 3 * 2  # three checks more, through two layers each


def test_features_are_kept_while_a_probe_trains(depths):
    trained("toy-encoder", [{"name": "encoder-only", "probe_share": 0.5}], epochs=4)
    assert depths == [2]


def test_a_resumed_run_has_the_same_bits(tmp_path):
    values = toydata.recipe(strategies=[TOP], epochs=3, checkpoint_steps=2)
    data = toydata.labelled(60)

    class Killed(BaseException):
        pass

    def report(event, figures):
        if event == "step" and figures["step"] == 9:
            raise Killed

    straight = hub_core.train(values, data, out=tmp_path / "a", prove=False)
    with pytest.raises(Killed):
        hub_core.train(values, data, out=tmp_path / "b", report=report, prove=False)
    resumed = hub_core.train(values, data, out=tmp_path / "b", resume=True, prove=False)
    assert resumed.history == straight.history
    files = {n: f.sha256 for n, f in straight.manifest.files.items()}
    assert {n: f.sha256 for n, f in resumed.manifest.files.items()} == files


def test_a_part_that_changes_the_body_in_secret_is_found(caplog, monkeypatch):
    from hub_basics.parts import HeadOnly

    def on_step_end(self, model, clock):
        with torch.no_grad():
            for _, linear in model.linears("up"):
                linear.weight.mul_(2.0)

    monkeypatch.setattr(HeadOnly, "on_step_end", on_step_end, raising=False)
    with caplog.at_level(logging.WARNING, "hub_core"):
        trained("toy-encoder", ["head-only"])
    assert [record.message for record in caplog.records].count(
        "frozen features changed during training: some part changes the backbone without saying "
        "so (changes_body); they are computed anew from here on"
    ) == 1


# -- where they are kept


def kept_on_disk(monkeypatch):
    monkeypatch.setattr(features, "MEMORY_SHARE", 10**15)


def test_what_does_not_fit_into_memory_is_kept_in_a_file_that_goes(monkeypatch):
    in_memory, _ = trained("toy-encoder", [TOP])
    kept_on_disk(monkeypatch)
    seen = set()
    on_disk, _ = trained(
        "toy-encoder", [TOP], watch=lambda: seen.update((e.size, e.used) for e in
                                                        cachefiles.entries()))  # fmt: skip
    assert on_disk == in_memory
    assert len(seen) == 1
    [(size, used)] = seen
    assert size > 0
    assert used
    assert list(cachefiles.entries()) == []


def test_a_full_disk_means_computing_with_a_warning(monkeypatch, caplog, depths):
    plain, _ = trained("toy-encoder", [TOP], cache_limit=0)
    kept_on_disk(monkeypatch)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cachefiles, "_reserve", full)
    with caplog.at_level(logging.WARNING, "hub_core"):
        losses, _ = trained("toy-encoder", [TOP])
    assert losses == plain
    assert depths == [None]
    assert (
        "frozen features cannot be kept on disk (No space left on device): they are computed anew "
        "in every epoch"
    ) in [record.message for record in caplog.records]
    assert list(cachefiles.entries()) == []


def test_more_than_the_limit_is_not_kept(monkeypatch, caplog):
    with caplog.at_level(logging.WARNING, "hub_core"):
        assert features.open_features(2**20, 32, torch.float32, 100 * 2**20) is None
    assert caplog.records[0].message == (
        "frozen features would take 128 MiB, more than training.cache_limit = 100: they are "
        "computed anew in every epoch"
    )


def test_files_of_dead_runs_are_cleared_and_those_of_living_ones_are_not():
    ours = cachefiles.CacheFile.create("features", 1000)
    dead = cachefiles.folder() / "features-dead.bin"
    dead.write_bytes(b"left behind")
    assert {entry.path.name: entry.used for entry in cachefiles.entries()} == {
        ours.path.name: True,
        "features-dead.bin": False,
    }
    assert cachefiles.clear() == (1, 11)
    assert ours.path.stat().st_size == 1000
    ours.remove()
    assert list(cachefiles.entries()) == []


@pytest.mark.parametrize("left", [False, True])
def test_vectors_come_back_where_they_were(left):
    store = Features(5, 2, torch.float32)
    rows = {b"a": torch.ones(2, 2), b"b": torch.full((3, 2), 2.0)}
    for key, vectors in rows.items():
        store.add(key, vectors)
    found = store.batch([b"b", b"a"], 4, left=left)
    assert found[..., 0].tolist() == (
        [[0, 2, 2, 2], [0, 0, 1, 1]] if left else [[2, 2, 2, 0], [1, 1, 0, 0]]
    )


def test_rows_are_known_by_all_of_their_inputs():
    inputs = {"ids": [1, 2], "types": [0, 0]}
    others = [{"ids": [1, 2]}, {"ids": [1, 2], "types": [0, 1]}, {"types": [1, 2], "ids": [0, 0]},
              {"ids": [1, 2, 0], "types": [0]}]  # fmt: skip
    assert key_of(inputs) == key_of({"types": [0, 0], "ids": [1, 2]})
    assert len({key_of(other) for other in [inputs, *others]}) == 5


# -- how deep


def plan(*changes, epochs=4, steps=10):
    return Plan((Stage(),), (epochs,), steps, dict(changes))


def test_a_depth_counts_what_was_chosen_before_too():
    depth = {frozenset("h"): 6, frozenset("a"): 3, frozenset("ha"): 3}.__getitem__
    found = plan((0, frozenset("h")), (20, frozenset("a")))
    assert lasting_depth(found, 0, depths_of(found, depth)) == 6
    assert lasting_depth(found, 20, depths_of(found, depth)) == 3


def test_a_depth_that_does_not_last_two_epochs_is_not_worth_it():
    depth = {frozenset("h"): 6, frozenset("ha"): 3}.__getitem__
    found = plan((0, frozenset("h")), (19, frozenset("a")), epochs=3)
    assert lasting_depth(found, 0, depths_of(found, depth)) == 0
    assert lasting_depth(found, 19, depths_of(found, depth)) == 0
