"""What this plugin provides."""

from collections.abc import Iterator

from hub_core.spec import Method, hookimpl


@hookimpl
def hub_backbones() -> Iterator[Method]:
    """Yield the backbone."""
    yield Method(
        name="transformers",
        summary="A pre-trained encoder of transformers, by Hub id or folder",
        factory="hub_transformers.backbone:TransformersBackbone",
        options="hub_transformers.options:TransformersOptions",
        reference="model",
    )
