"""The range in which a model answers for hub-core: growing bounds, temperature, soft thresholds."""

__version__ = "0.1.0"
