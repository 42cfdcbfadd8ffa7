"""Part of the weights at a time: layers in turn, masks and projected gradients for hub-core."""

__version__ = "0.1.0"
