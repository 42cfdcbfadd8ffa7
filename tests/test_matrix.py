"""Any backbone, head, strategies and compressors compose, or are refused before training.

All ordered pairs of methods are planned; those that are refused are listed, with a reason each,
in matrix_refused.toml. Of the others a cover of nearly all pairs is trained, saved and loaded by
one fresh process (``make test``); ``make test-all`` has every pair and a sample of chains of three.
"""

import functools
import itertools
import json
import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
import toydata
from tinymodels import save

import hub_core
from hub_core.build import plan
from hub_core.catalog import installed
from hub_core.errors import IncompatibleError
from hub_core.part import Context
from hub_core.proof import check_in_fresh_process
from hub_core.recipe import parse
from hub_core.training import Loop

MOST_CELLS = 150
LISTED = Path(__file__).with_name("matrix_refused.toml")
ROLES = {"backbone": 0, "head": 1, "strategy": 2, "compressor": 3}
OWN = {"hub-attention", "hub-basics", "hub-classification", "hub-multitask", "hub-peft",
       "hub-prune", "hub-quantize", "hub-range", "hub-regularize", "hub-reinit", "hub-schedules",
       "hub-transformers", "hub-toys"}  # fmt: skip


def methods():
    """Return (kind, name) of all methods of this repository."""
    return [(p.kind, p.method.name) for p in installed().methods() if p.plugin.name in OWN]


def pairs():
    """Return all ordered pairs that can stand in one recipe."""
    found = []
    for first, second in itertools.permutations(methods(), 2):
        a, b = ROLES[first[0]], ROLES[second[0]]
        if a < b or (a == b and a >= 2):  # two backbones, or two heads of a task, cannot
            found.append((first, second))
    return found


@dataclass(frozen=True)
class Trained:
    """What methods need that is trained before, and where the tiny BERT is.

    Args:
        bert: Its folder.
        teacher: An artifact.
        adapters: Backbone to two artifacts of adapters on it.
    """

    bert: str = ""
    teacher: str = ""
    adapters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SEVERAL = {"multi-task", "toy-alternate"}
"""Strategies that need several tasks."""


def recipe(chosen, trained):
    """Return a recipe with the chosen methods and the plainest others."""
    names = {kind: [name for k, name in chosen if k == kind] for kind in ROLES}
    backbone, head = usual(chosen)
    options = {"teacher": trained.teacher if head == "classification" else ""}
    given = {
        "toy-distill": options,
        "fusion": {"adapters": list(trained.adapters.get(backbone, ("one", "two")))},
    }
    parts = {
        kind: [{"name": name, **given[name]} if name in given else name for name in names[kind]]
        for kind in ("strategy", "compressor")
    }
    values = toydata.recipe(
        backbone=backbone_choice(backbone, names["strategy"], trained.bert),
        head=head,
        strategies=[*_trainer(head, names["strategy"]), *parts["strategy"]],
        compressors=parts["compressor"],
        epochs=2,
    )
    if SEVERAL & set(names["strategy"]):
        values["tasks"]["other"] = {"head": head}
    return values


def usual(chosen):
    """Return the backbone and the head of a cell, the plainest ones where it names none."""
    head = next((name for kind, name in chosen if kind == "head"), "classification")
    found = next((name for kind, name in chosen if kind == "backbone"), "")
    if found:
        return found, head
    if ("strategy", "pooling") in chosen:  # no toy has a pooling layer
        return "transformers", head
    return "toy-decoder" if head == "toy-generate" else "toy-encoder", head


def backbone_choice(name, strategies, bert):
    if name != "transformers":
        return name
    pooled = {"pooling": "pooler"} if "pooling" in strategies else {}
    return {"name": name, "model": bert, **pooled}


TRAINERS = {"full", "lora", "top-layers", "toy-gradual", "toy-prefix", "head-only"}


def _trainer(head, strategies):
    """Return what must be added so that something trains: that head has no weights."""
    return ["full"] if head == "toy-generate" and not TRAINERS & set(strategies) else []


def data_for(values):
    return {
        name: toydata.DATA[task["head"]](24, seed=number)
        for number, (name, task) in enumerate(values["tasks"].items())
    }


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    return str(save("bert", tmp_path_factory.mktemp("tiny") / "bert"))


@functools.cache
def refused_pair(chosen, folder):
    try:
        plan(parse(recipe(chosen, Trained(folder))), installed(), Context())
    except IncompatibleError as error:
        return error.message
    return ""


def refusal(chosen, folder):
    """Return why a recipe is refused before weights are read, or an empty text."""
    return refused_pair(tuple(chosen), folder)


def listed():
    """Return the listed refusals: a first and a second method, either way round or only so."""
    found = {}
    for entry in tomllib.loads(LISTED.read_text("utf-8"))["refused"]:
        for first in entry["first"]:
            for second in entry["second"]:
                one, two = tuple(first.split(" ")), tuple(second.split(" "))
                found[one, two] = entry["reason"]
                if entry.get("both_orders", False):
                    found[two, one] = entry["reason"]
    return found


def test_exactly_the_listed_pairs_are_refused(tiny_bert):
    refused = {pair: text for pair in pairs() if (text := refusal(pair, tiny_bert))}
    known = listed()
    unlisted = {pair: text for pair, text in refused.items() if pair not in known}
    working = [pair for pair in known if pair in set(pairs()) and pair not in refused]
    assert unlisted == {}
    assert working == []
    assert all(known.values())


def test_no_method_is_refused_by_more_than_a_third_of_its_partners(tiny_bert):
    """Toys may be: they are there to be refused, and a BiLSTM toy has little to adapt.

    ``head-only`` says that nothing of the backbone trains, which most strategies contradict.
    """
    refused = {frozenset(pair) for pair in pairs() if refusal(pair, tiny_bert)}
    refused -= {frozenset(pair) for pair in pairs() if not refusal(pair, tiny_bert)}
    partners = {frozenset(pair) for pair in pairs()}
    shares = {
        method: sum(method in pair for pair in refused) / sum(method in pair for pair in partners)
        for method in methods()
        if not method[1].startswith("toy-")
    }
    shares.pop(("strategy", "head-only"))
    assert {method: share for method, share in shares.items() if share > 1 / 3} == {}


LARGEST_CELL = 8


def cover(working):
    """Return the cells that hold the most working pairs; ``make test-all`` has every pair."""
    cells = {}
    left = set(working)
    while left:
        cell = list(min(left))
        while len(cell) < LARGEST_CELL:
            bigger = [ordered([*cell, extra]) for extra in methods() if extra not in cell]
            gains = [(len(new_in(c, left)), c) for c in bigger if possible(c, working)]
            gain, best = max(gains, default=(0, []), key=lambda found: found[0])
            if gain <= len(new_in(cell, left)):
                break
            cell = best
        cells[tuple(cell)] = len(new_in(cell, left))
        left -= new_in(cell, left)
    chosen = sorted(cells, key=cells.__getitem__, reverse=True)
    return [list(cell) for cell in chosen[:MOST_CELLS]]


def new_in(cell, left):
    return set(itertools.combinations(ordered(cell), 2)) & left


def ordered(cell):
    return sorted(cell, key=lambda method: ROLES[method[0]])


def possible(cell, working):
    kinds = [method[0] for method in cell]
    if kinds.count("backbone") > 1 or kinds.count("head") > 1:
        return False
    backbone, head = (pair for pair in zip(("backbone", "head"), usual(cell), strict=True))
    whole = ordered({*cell, head, backbone})
    body = [m for m in cell if m not in (head, backbone)]
    whole = [backbone, head, *body]
    return all(pair in working for pair in itertools.combinations(whole, 2))


def cells_for(mode, folder):
    working = {pair for pair in pairs() if not refusal(pair, folder)}
    if mode == "cover":
        return cover(working)
    chains = [list(c) for c in itertools.permutations(
        [m for m in methods() if ROLES[m[0]] >= 2], 3)]  # fmt: skip
    chains = [c for c in chains if ordered(c) == c]
    sample = random.Random(1).sample(chains, 150)
    return [list(p) for p in sorted(working)] + [c for c in sample if not refusal(c, folder)]


class Watched(Loop):
    """A loop that checks that what is never chosen keeps its bits."""

    def run(self):
        frozen = {n: (p, p.detach().clone()) for p, n in self.built.names.items()
                  if p not in self.plan.ever}  # fmt: skip
        progress = super().run()
        changed = [name for name, (now, before) in frozen.items() if not torch.equal(now, before)]
        assert changed == []
        return progress


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_bert):
    """Return what is trained before, each in one epoch."""
    root = tmp_path_factory.mktemp("trained")

    def artifact(name, seed=0, **values):
        values = toydata.recipe(epochs=1, seed=seed, **values)
        hub_core.train(values, toydata.labelled(32), out=root / name, prove=False)
        return str(root / name)

    adapters = {
        name: tuple(
            artifact(f"{name}-{seed}", seed, strategies=["lora"],
                     backbone=backbone_choice(name, [], tiny_bert))
            for seed in (1, 2)
        )
        for name in ("toy-encoder", "toy-decoder", "transformers")
    }  # fmt: skip
    return Trained(tiny_bert, artifact("teacher", strategies=["full"]), adapters)


def run_all(cells, root, trained, monkeypatch):
    monkeypatch.setattr("hub_core.jobs.Loop", Watched)
    failures, folders = {}, []
    for number, cell in enumerate(cells):
        values = recipe(cell, trained)
        folder = root / str(number)
        try:
            hub_core.train(values, data_for(values), out=folder, prove=False)
        except Exception as error:
            failures[" + ".join(f"{k} {n}" for k, n in cell)] = f"{type(error).__name__}: {error}"
            continue
        folders.append((cell, folder))
    answers = check_in_fresh_process([folder for _, folder in folders])
    for (cell, folder), answer in zip(folders, answers, strict=True):
        name = " + ".join(f"{k} {n}" for k, n in cell)
        if "error" in answer or not answer["difference"] <= 1e-5:
            failures[name] = str(answer)
        failures |= {f"{name}: {why}": folder.name for why in wrong_claims(cell, folder)}
    print(f"{len(cells) - len(failures)} cells passed, {len(pairs())} pairs, "
          f"{sum(bool(refusal(p, trained.bert)) for p in pairs())} refused")  # fmt: skip
    return failures


def wrong_claims(cell, folder):
    """Yield what an artifact says of itself that is not so."""
    manifest = json.loads((folder / "hub.json").read_text())
    names = {name for _, name in cell}
    body = [name for name in manifest["tensors"] if not name.startswith("heads.")]
    if "head-only" in names and body and not names & {"toy-mask"}:
        yield f"head-only stores {body[0]}"
    stored = any(name.endswith("weight_int8") for name in body)
    if "quantize-int8" in names and manifest["form"] == "whole" and not stored:
        yield "nothing is stored as int8"
    sparsity = manifest["report"].get("prune-magnitude.sparsity")
    if "prune-magnitude" in names and not 0.49 <= sparsity <= 0.76:
        yield f"reported sparsity {sparsity}"


def test_a_pairwise_cover_trains_and_loads_in_a_fresh_process(tmp_path, trained, monkeypatch):
    cells = cells_for("cover", trained.bert)
    assert len(cells) <= MOST_CELLS
    assert run_all(cells, tmp_path, trained, monkeypatch) == {}


@pytest.mark.exhaustive
def test_every_pair_and_a_sample_of_chains_train_and_load(tmp_path, trained, monkeypatch):
    cells = cells_for("all", trained.bert)
    assert run_all(cells, tmp_path, trained, monkeypatch) == {}
