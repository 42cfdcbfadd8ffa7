"""What this plugin provides."""

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_strategies() -> Iterator[Method]:
    """Yield the strategies."""
    yield Method(
        name="multi-task",
        summary="Several tasks share a backbone: sampling, loss weights, surgery",
        factory="hub_multitask.multi_task:MultiTask",
        options="hub_multitask.options:MultiTaskOptions",
        requires=frozenset({"several-tasks", "free-sampling"}),
        removes=frozenset({"free-sampling"}),
        paper="https://arxiv.org/abs/1901.11504",
    )
    yield Method(
        name="fusion",
        summary="Attention over what several trained adapters give, layer by layer",
        factory="hub_multitask.fusion:Fusion",
        options="hub_multitask.options:FusionOptions",
        requires=frozenset({"open-body", "linears", "float-weights", "full-depth", "free-heads"}),
        removes=frozenset({"frozen-body", "plain-weights", "free-heads"}),
        paper="https://arxiv.org/abs/2005.00247",
    )
