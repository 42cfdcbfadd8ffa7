"""Reports on trained models for hub-core."""

__version__ = "0.1.0"
