"""PEFT methods as tuning strategies for hub-core."""

__version__ = "0.1.0"
