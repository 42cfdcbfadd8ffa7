"""A head that attends over positions and layers, with weights that can be shown, for hub-core."""

__version__ = "0.1.0"
