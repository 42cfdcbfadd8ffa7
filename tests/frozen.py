"""Use the frozen plugin in a process of its own, with the core as it is or as it may become.

Run as ``python -m frozen FOLDER [GROWTH...]``; the last line that it prints is JSON.
"""

import json
import sys
from dataclasses import make_dataclass
from pathlib import Path

import pluggy
import toydata

import hub_core
from hub_core import batch, declare, deprecation, identity, part, spec, training
from hub_core.catalog import installed
from hub_core.model import Backbone, Head
from hub_core.part import Part
from hub_core.proof import compare

RECIPE = {
    "backbone": "frozen-stack",
    "strategies": [{"name": "frozen-shift", "penalty": 0.02}],
    "compressors": ["frozen-mask"],
    "tasks": {"mood": {"head": "frozen-label"}, "topic": {"head": "frozen-label"}},
    "training": {"epochs": 4, "precision": "fp32", "threads": 1, "seed": 5, "batch_examples": 8,
                 "checkpoint_steps": 3},
}  # fmt: skip
DATA = {"mood": toydata.labelled(48), "topic": toydata.topics(48)}
ASKED = []
"""What a grown core used that the core of the plugin's time did not have."""


class Killed(BaseException):
    """What a power cut looks like from inside."""


# -- how a core grows


def hook_argument():
    """Hooks are given an argument more, which the specification knows."""

    class Grown(spec.HubSpecs):
        @spec.hookspec
        def hub_backbones(self, surroundings):
            return ()

        @spec.hookspec
        def hub_heads(self, surroundings):
            return ()

        @spec.hookspec
        def hub_strategies(self, surroundings):
            return ()

        @spec.hookspec
        def hub_compressors(self, surroundings):
            return ()

    spec.HubSpecs = Grown
    call = pluggy.HookCaller.__call__

    def with_one_more(self, **given):
        assert "surroundings" in self.spec.argnames
        ASKED.append(self.name)
        return call(self, surroundings="here", **given)

    pluggy.HookCaller.__call__ = with_one_more


def methods():
    """Parts, heads and backbones have a method more, which the loop calls in every step."""

    def with_default(self, model, clock):
        ASKED.append(type(self).__name__)

    for base in (Part, Head, Backbone):
        base.on_whatever_comes = with_default
    step = training.Loop._step

    def with_one_more(self, batches):
        clock = self.plan.moment(self.progress.total).clock
        for asked in (*self.parts, self.model.backbone, *map(self.model.head, self.rows)):
            asked.on_whatever_comes(self.model, clock)
        return step(self, batches)

    training.Loop._step = with_one_more


def fields():
    """Everything that the core hands over, or is handed, has a field more."""
    for module in (declare, batch, identity, part):
        for old in list(vars(module).values()):
            if hasattr(old, "__dataclass_params__") and old.__module__ == module.__name__:
                _replace(old, _grown(old))


def _grown(old):
    """Return a dataclass with a field more, which notes that it is used."""

    def note(self):
        ASKED.append(old.__name__)
        if hasattr(old, "__post_init__"):
            old.__post_init__(self)

    return make_dataclass(
        old.__name__, [("whatever_comes", int, 0)], bases=(old,), kw_only=True,
        frozen=old.__dataclass_params__.frozen, namespace={"__post_init__": note},
    )  # fmt: skip


def _replace(old, new):
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == "hub_core"]:
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


def renamed():
    """``Part.on_step_end`` is called ``after_step`` from now on, and the old name still works."""
    usual = Part.on_step_end

    def after_step(self, model, clock):
        if type(self).on_step_end is not usual:
            deprecation.tell(
                type(self), "Part.on_step_end", instead="Part.after_step", gone="hub-core 0.3"
            )
            self.on_step_end(model, clock)

    Part.after_step = after_step
    start = training.Loop.__init__

    def with_the_new_name(self, *values, **named):
        start(self, *values, **named)
        self.parts = [Renamed(own) for own in self.parts]

    training.Loop.__init__ = with_the_new_name


class Renamed:
    """A part as a loop sees it that calls ``after_step`` where it called ``on_step_end``."""

    def __init__(self, own):
        self.own = own

    def __getattr__(self, name):
        ASKED.append("after_step") if name == "on_step_end" else None
        return getattr(self.own, "after_step" if name == "on_step_end" else name)


GROWTHS = {"hook-argument": hook_argument, "methods": methods, "fields": fields, "renamed": renamed}


# -- what the plugin must go on to do


def train(folder, *, kill_at=0, resume=False):
    def report(event, figures):
        if event == "step" and figures["step"] == kill_at:
            raise Killed

    return hub_core.train(RECIPE, DATA, out=folder, report=report, resume=resume, prove=resume)


def resumed(folder):
    try:
        train(folder, kill_at=7)
    except Killed:
        return train(folder, resume=True)
    raise AssertionError("it was not killed")


def main(place, *growths):
    """Train, resume, load and predict; print what came out and what a grown core asked."""
    for name in growths:
        GROWTHS[name]()
    own = [p for p in installed().plugins(imported=True) if p.name == "hub-frozen"]
    folder = Path(place)
    straight, again = train(folder / "straight"), resumed(folder / "again")
    assert again.history == straight.history
    loaded = hub_core.load(folder / "straight")
    texts = [row["text"] for row in toydata.labelled(6, seed=9)]
    print(json.dumps({
        "plugins": [(p.version, p.status, p.reason) for p in own],
        "history": straight.manifest.history,
        "report": straight.manifest.report,
        "predictions": {name: loaded.predict(texts, task=name) for name in DATA},
        "same": compare(loaded).same,
        "asked": sorted(set(ASKED)),
    }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
