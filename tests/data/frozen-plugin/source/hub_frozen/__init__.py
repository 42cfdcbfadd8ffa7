"""A plugin as it was written for hub-core 0.1.0."""

__version__ = "0.1.0"
