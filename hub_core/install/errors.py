"""The error of everything that installs and removes."""

from __future__ import annotations

from hub_core.errors import HubError


class InstallError(HubError):
    """A plugin that cannot be installed or removed; the environment is as it was."""
