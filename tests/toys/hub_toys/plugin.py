"""The toys' methods."""

from hub_core.spec import Method, hookimpl

TOY = frozenset({"text", "linears", "layers", "attention", "hub-toys:stack", "hub-toys:words"})


def _method(name, place, *, options="hub_core.options:NoOptions", **tags):
    tags = {key: frozenset(value) for key, value in tags.items()}
    return Method(
        name=name, summary=f"Toy: {name}", factory=f"hub_toys.{place}", options=options, **tags
    )


@hookimpl
def hub_backbones():
    options = "hub_toys.options:ToyBackboneOptions"
    yield _method("toy-encoder", "backbones:ToyEncoder", options=options, provides=TOY)
    yield _method(
        "toy-bilstm", "backbones:ToyBiLstm", options=options, provides={"text", "hub-toys:words"}
    )
    yield _method(
        "toy-decoder",
        "backbones:ToyDecoder",
        options=options,
        provides=TOY | {"generates", "vocabulary"},
    )


@hookimpl
def hub_heads():
    yield _method(
        "toy-tags",
        "heads:ToyTags",
        requires={"text", "hub-toys:words"},
        provides={"head-weights"},
    )
    yield _method("toy-generate", "heads:ToyGenerate", requires={"text", "generates"})


@hookimpl
def hub_strategies():
    opens = {"removes": {"frozen-body"}}
    stages = {"free-stages", "open-body", "head-weights"}
    yield _method(
        "toy-lp-ft", "strategies:LpFt", requires=stages, removes={"free-stages", "frozen-body"}
    )
    yield _method(
        "toy-gradual",
        "strategies:Gradual",
        requires={"free-schedule", "layers", "open-body"},
        removes={"free-schedule", "frozen-body"},
    )
    yield _method(
        "toy-low-rank-optimizer",
        "strategies:LowRankOptimizer",
        requires={"free-optimizer"},
        removes={"free-optimizer"},
    )
    yield _method("toy-range", "strategies:GrowingRange", requires={"scores"})
    yield _method(
        "toy-alternate",
        "strategies:Alternate",
        requires={"several-tasks", "free-sampling"},
        removes={"free-sampling"},
    )
    yield _method("toy-pairs", "strategies:Pairs", requires={"one-label"})
    yield _method(
        "toy-prefix", "strategies:Prefix", requires={"open-body", "hub-toys:stack"}, **opens
    )


@hookimpl
def hub_compressors():
    yield _method(
        "toy-distill",
        "compressors:Distill",
        options="hub_toys.options:ToyDistillOptions",
        requires={"scores"},
    )
    yield _method("toy-shrink", "compressors:Shrink", requires={"free-heads", "linears"})
    yield _method(
        "toy-mask", "compressors:Mask", requires={"plain-weights", "linears", "float-weights"}
    )
