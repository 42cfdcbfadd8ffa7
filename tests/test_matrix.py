"""Any backbone, head, strategies and compressors compose, or are refused before training.

All ordered pairs of methods are planned; those that are refused are listed, with a reason each,
in matrix_refused.toml. Of the others a pairwise cover is trained, saved and loaded by one fresh
process (``make test``), or every pair and a sample of chains of three (``make test-all``).
"""

import functools
import itertools
import json
import random
import tomllib
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


def recipe(chosen, teacher="", folder=""):
    """Return a recipe with the chosen methods and the plainest others."""
    names = {kind: [name for k, name in chosen if k == kind] for kind in ROLES}
    head = (names["head"] or ["classification"])[0]
    usual = "toy-decoder" if head == "toy-generate" else "toy-encoder"
    backbone = (names["backbone"] or [usual])[0]
    values = toydata.recipe(
        backbone={"name": backbone, "model": folder} if backbone == "transformers" else backbone,
        head=head,
        strategies=[*_trainer(head, names["strategy"]), *names["strategy"]],
        compressors=[
            {"name": name, "teacher": teacher if head == "classification" else ""}
            if name == "toy-distill" else name
            for name in names["compressor"]
        ],
        epochs=2,
    )  # fmt: skip
    if "toy-alternate" in names["strategy"]:
        values["tasks"]["other"] = {"head": head}
    return values


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
        plan(parse(recipe(chosen, folder=folder)), installed(), Context())
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
    """Toys may be: they are there to be refused, and a BiLSTM toy has little to adapt."""
    refused = {frozenset(pair) for pair in pairs() if refusal(pair, tiny_bert)}
    refused -= {frozenset(pair) for pair in pairs() if not refusal(pair, tiny_bert)}
    partners = {frozenset(pair) for pair in pairs()}
    shares = {
        method: sum(method in pair for pair in refused) / sum(method in pair for pair in partners)
        for method in methods()
        if not method[1].startswith("toy-")
    }
    assert {method: share for method, share in shares.items() if share > 1 / 3} == {}


def cover(working):
    """Return single methods and a few larger cells that hold every working pair."""
    cells = [[method] for method in methods() if ROLES[method[0]] >= 2]
    chance = random.Random(0)
    left = set(working)
    while left:
        cell = list(min(left))
        options = methods()
        chance.shuffle(options)
        for extra in options:
            bigger = ordered([*cell, extra])
            gained = set(itertools.combinations(bigger, 2)) & left
            if extra not in cell and possible(bigger, working) and len(gained) > 1:
                cell = bigger
            if len(cell) == 6:
                break
        left -= set(itertools.combinations(ordered(cell), 2))
        cells.append(ordered(cell))
    return cells


def ordered(cell):
    return sorted(cell, key=lambda method: ROLES[method[0]])


def possible(cell, working):
    kinds = [method[0] for method in cell]
    if kinds.count("backbone") > 1 or kinds.count("head") > 1:
        return False
    head = next((m for m in cell if m[0] == "head"), ("head", "classification"))
    usual = "toy-decoder" if head[1] == "toy-generate" else "toy-encoder"
    backbone = next((m for m in cell if m[0] == "backbone"), ("backbone", usual))
    whole = ordered({*cell, head, backbone})
    body = [m for m in cell if m not in (head, backbone)]
    whole = [backbone, head, *body]
    return all(pair in working for pair in itertools.combinations(whole, 2))


def cells_for(mode, folder):
    working = {pair for pair in pairs() if not refusal(pair, folder)}
    if mode == "cover":
        return [c for c in cover(working) if not refusal(c, folder)]
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
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "it"
    hub_core.train(toydata.recipe(strategies=["full"]), toydata.labelled(), out=folder, prove=False)
    return str(folder)


def run_all(cells, root, teacher, tiny_bert, monkeypatch):
    monkeypatch.setattr("hub_core.jobs.Loop", Watched)
    failures, folders = {}, []
    for number, cell in enumerate(cells):
        values = recipe(cell, teacher, tiny_bert)
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
          f"{sum(bool(refusal(p, tiny_bert)) for p in pairs())} refused")  # fmt: skip
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


def test_a_pairwise_cover_trains_and_loads_in_a_fresh_process(
    tmp_path, teacher, tiny_bert, monkeypatch
):
    cells = cells_for("cover", tiny_bert)
    assert len(cells) <= MOST_CELLS
    assert run_all(cells, tmp_path, teacher, tiny_bert, monkeypatch) == {}


@pytest.mark.exhaustive
def test_every_pair_and_a_sample_of_chains_train_and_load(
    tmp_path, teacher, tiny_bert, monkeypatch
):
    cells = cells_for("all", tiny_bert)
    assert run_all(cells, tmp_path, teacher, tiny_bert, monkeypatch) == {}
