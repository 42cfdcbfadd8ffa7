"""A plugin that imports what is heavy."""

import numpy  # noqa: F401

from wrong_methods.plugin import hub_strategies  # noqa: F401
