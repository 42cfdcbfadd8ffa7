"""Part of the weights at a time for hub-core: unfreezing, sampled layers, masks, projected gradients."""

__version__ = "0.1.0"
