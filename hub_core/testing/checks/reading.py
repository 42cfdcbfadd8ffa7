"""What a head makes of examples: rows, batches, scores, losses, predictions, metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hub_core.declare import Column, Task
from hub_core.errors import HubError, IncompatibleError
from hub_core.jobs import train
from hub_core.model import Batch, Head, Prediction, Row
from hub_core.testing.expecting import expect
from hub_core.testing.rehearsal import Rehearsal
from hub_core.testing.trial import Rows, Trial

CLOSE = 1e-4


def _head(run: Rehearsal) -> Head:
    return run.model.head(next(iter(run.found)))


def _examples(run: Rehearsal) -> list[Mapping[str, Any]]:
    return list(next(iter(run.found.values())).splits["validation"])


def makes_rows(trial: Trial) -> None:
    """Check the rows of examples.

    Raises:
        ConformanceError: Rows are missing or out of order, depend on other examples, cannot be
            stored, or need a target.
    """
    run = trial.rehearse()
    head, examples, backbone = _head(run), _examples(run), run.model.backbone
    rows = head.features(examples, backbone)
    expect(
        sorted({row.index for row in rows}) == list(range(len(examples)))
        and [row.index for row in rows] == sorted(row.index for row in rows),
        "features must give every example a row or more, in order, and index says whose it is",
    )
    expect(
        all(dict(row.example) == dict(examples[row.index]) for row in rows),
        "a row's example is not the one at its index",
    )
    for number, example in enumerate(examples):
        own = [row for row in rows if row.index == number]
        alone = head.features([example], backbone)
        expect(
            [_stored(row) for row in own] == [_stored(row) for row in alone],
            "the rows of an example depend on the other examples, which may come piece by piece",
        )
    targets = {column.role for column in head.reads(head.options) if column.target}
    blank = [{k: v for k, v in example.items() if k not in targets} for example in examples]
    found = head.features(blank, backbone)
    expect(
        (len(found) == len(rows) and all(row.target is None for row in found)) or not targets,
        "examples without a target must have rows too, with target None: predicting has no targets",
    )


def _stored(row: Row) -> str:
    """Return what is stored of a row."""
    inputs = {name: list(values) for name, values in row.inputs.items()}
    try:
        return json.dumps([inputs, row.target, row.truncated])
    except TypeError as error:
        raise AssertionError(
            f"a row's inputs and target must be numbers, texts or lists of them: {error}"
        ) from error


def batches(trial: Trial) -> None:
    """Check ``collate``, ``forward``, ``loss``, ``attention`` and what a linear output promises.

    Raises:
        ConformanceError: The shapes are wrong, a row's scores or loss depend on its neighbours, or
            what is shown is no attention over its positions.
    """
    run = trial.rehearse()
    rows = list(next(iter(run.held.values())))
    batch = run.batch(rows=rows)
    count = len(rows)
    expect(batch.task == _head(run).task.name, f"collate names the task {batch.task!r}")
    expect(list(batch.rows) == rows, "collate must keep the rows in their order")
    expect(
        all(tensor.ndim >= 2 and len(tensor) == count for tensor in batch.inputs.values()),
        "collate must give input tensors (B, T)",
    )
    scores, losses = _judge(run, batch)
    expect(len(scores) == count, f"forward gives {len(scores)} scores for {count} rows")
    expect(
        losses.shape == (count,),
        f"loss gives {tuple(losses.shape)} for {count} rows, it must give one loss for each: (B,)",
    )
    expect(torch.isfinite(losses).all(), "some losses are no numbers")
    alone = torch.cat([_judge(run, run.batch(rows=[row]))[1] for row in rows])
    expect(
        torch.allclose(alone, losses, atol=CLOSE, rtol=CLOSE),
        "a row has another loss when other rows stand beside it: padding must not count",
    )
    _attends(run, batch)
    if "linear-output" in next(iter(run.blueprint.heads.values())).tags("provides"):
        _ends_linearly(run, batch)


@torch.no_grad()
def _ends_linearly(run: Rehearsal, batch: Batch) -> None:
    """Check that the head's scores are its linear layer over one vector for each row."""
    head, encoded = _head(run).eval(), run.model.encode(batch)
    scores = head(encoded, batch)
    by_hand = head.output(head.vector(encoded, batch))
    expect(
        by_hand.shape == scores.shape and torch.allclose(by_hand, scores, atol=CLOSE, rtol=CLOSE),
        "it says linear-output, but its scores are not output(vector(encoded, batch))",
    )
    ideal = head.ideal_scores(batch)
    expect(
        ideal.shape == scores.shape and ideal.is_floating_point(),
        f"ideal_scores gives {tuple(ideal.shape)}, it must give numbers {tuple(scores.shape)}",
    )


@torch.no_grad()
def _attends(run: Rehearsal, batch: Batch) -> None:
    """Check what the head shows of its attention, if it shows any."""
    encoded = run.model.encode(batch)
    found = _head(run).attention(encoded, batch)
    if found is None:
        return
    real = encoded.mask.bool()
    expect(
        found.ndim == 3 and found.shape[::2] == real.shape,
        f"attention gives {tuple(found.shape)}, it must give (B, hops, T)",
    )
    own = found.float().masked_fill(~real[:, None], 0)
    expect(
        bool((own == found).all())
        and torch.allclose(own.sum(-1), torch.ones(1, device=own.device), atol=CLOSE),
        "the weights that attention gives must be 1 in all for each hop, and 0 on padding",
    )


@torch.no_grad()
def _judge(run: Rehearsal, batch: Batch) -> tuple[Tensor, Tensor]:
    run.model.eval()
    scores = run.model(batch).scores
    return scores, _head(run).loss(scores, batch)


def predicts(trial: Trial) -> None:
    """Check predictions and metrics.

    Raises:
        ConformanceError: There is not one prediction for each example, they are no plain data, or
            the metrics are no numbers or lack the one that the best model is chosen by.
    """
    run = trial.rehearse()
    run.train()
    head, examples = _head(run), _examples(run)
    rows = list(next(iter(run.held.values())))
    found = _predictions(run, rows)
    expect(len(found) == len(examples), f"{len(found)} predictions for {len(examples)} examples")
    expect(all(isinstance(one, Mapping) for one in found), "a prediction must be a mapping")
    try:
        told = json.dumps([dict(one) for one in found], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(
            f"predictions must be plain data, as JSON has them: {error}"
        ) from error
    backwards = _predictions(run, head.features(examples[::-1], run.model.backbone))
    again = json.dumps([dict(one) for one in backwards][::-1])
    expect(
        _close(json.loads(told), json.loads(again)),
        "the predictions of the same examples in another order are others",
    )
    metrics = head.metrics(found, examples)
    odd = {k: v for k, v in metrics.items() if not isinstance(v, float) or not math.isfinite(v)}
    expect(not odd, f"these metrics are no finite numbers: {odd}")
    expect(
        head.metric in metrics,
        f"metric = {head.metric!r}, by which the best model is chosen, is none of {list(metrics)}",
    )
    facts = head.facts()
    expect(
        all(isinstance(x, str) for x in (*facts, *facts.values())), f"facts are no texts: {facts}"
    )


@torch.no_grad()
def _predictions(run: Rehearsal, rows: Sequence[Row]) -> list[Prediction]:
    run.model.eval()
    batch = run.batch(rows=rows)
    decoded = _head(run).decode(run.model(batch).scores, batch, run.model)
    return _head(run).predict(decoded, rows)


def _close(one: Any, two: Any) -> bool:
    """Return whether plain data are the same but for rounding."""
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-3, abs_tol=CLOSE)
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(_close(one[k], two[k]) for k in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(_close, one, two))
    return bool(one == two)


def refuses(trial: Trial) -> None:
    """Check that unusable data are refused in words, never by a crash.

    Raises:
        ConformanceError: Something else than a sentence comes out, or training goes on.
    """
    recipe = trial.recipe(epochs=1)
    task = next(iter(recipe["tasks"]))
    rows = trial.rows(recipe["tasks"][task]["head"], 12, 7)
    head = _head(trial.rehearse())
    for column in head.reads(head.options):
        name = next((n for n in column.names if n in rows[0]), None)
        if name is None:
            continue
        without = [{k: v for k, v in row.items() if k != name} for row in rows]
        if not column.required:
            _may_refuse(trial, recipe, without, f"without the column {name}")
            continue
        _must_refuse(trial, recipe, without, f"without the column {name}")
        empty = [{**row, name: None} for row in rows]
        _must_refuse(trial, recipe, empty, f"with an empty column {name}")
        if column.kind == "tags":
            fewer = [{**row, name: row[name][:1]} for row in rows]
            _must_refuse(trial, recipe, fewer, f"with fewer {name} than words")
        if column.target:
            same = [{**row, name: _same(column, rows[0][name], row[name])} for row in rows]
            _may_refuse(trial, recipe, same, f"with the same {name} everywhere")


def _same(column: Column, first: Any, own: Any) -> Any:
    """Return the first row's target in place of a row's own."""
    return first[:1] * len(own) if column.kind == "tags" else first


def _must_refuse(trial: Trial, recipe: Mapping[str, Any], rows: Rows, what: str) -> None:
    refused = _may_refuse(trial, recipe, rows, what)
    expect(refused, f"data {what} are trained on, as if nothing were missing")


def _may_refuse(trial: Trial, recipe: Mapping[str, Any], rows: Rows, what: str) -> bool:
    data = {name: {"train": rows, "validation": rows} for name in recipe["tasks"]}
    try:
        train(recipe, data, catalog=trial.catalog)
    except HubError:
        return True
    except Exception as error:
        raise AssertionError(
            f"data {what} end in {type(error).__name__}: {error}; refuse them in plan or leave it "
            "to columns"
        ) from error
    return False


def grows(trial: Trial) -> None:
    """Check that a head which takes more labels leaves the old ones as they were.

    Raises:
        ConformanceError: An old label's scores change.
    """
    run = trial.rehearse()
    run.train()
    old = _head(run)
    labels = old.task.labels
    task = Task(old.task.name, (*labels[:1], "zz-new", *labels[1:]), old.task.columns)
    new = type(old)(old.options, task, run.model.backbone)
    tensors = {name: t.clone() for name, t in old.state_dict().items()}
    try:
        grown = new.grow(tensors, labels)
    except IncompatibleError:
        return
    new.load_state_dict(grown)
    batch = run.batch()
    with torch.no_grad():
        encoded = run.model.eval().encode(batch)
        before, after = old.eval()(encoded, batch), new.eval()(encoded, batch)
    kept = [task.labels.index(label) for label in labels]
    expect(
        after.shape[-1] != len(task.labels)
        or torch.allclose(before, after[..., kept], rtol=1e-5, atol=1e-6),
        "after growing, the scores of old labels are others",
    )
