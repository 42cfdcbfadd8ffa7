"""Regularised tuning for hub-core: adversarial smoothness, consistency, averages, few labels."""

__version__ = "0.1.0"
