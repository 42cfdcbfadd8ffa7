"""Attention and mixing over positions and layers as heads for hub-core, with weights that can be shown."""

__version__ = "0.1.0"
