"""The basic tuning strategies for hub-core: full, head-only, encoder-only, top-layers."""

__version__ = "0.1.0"
