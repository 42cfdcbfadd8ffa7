"""A plugin that prints."""

from wrong_methods.plugin import hub_strategies  # noqa: F401

print("hello")
