"""Plugins are tested in the same surroundings as the core: one thread, the toys, an own cache."""

from conftest import _own_cache, pytest_configure  # tests/ is on pytest's pythonpath

__all__ = ["_own_cache", "pytest_configure"]
