"""Install, update and remove plugins with pip, or with uv where there is no pip.

``wanted`` says what a name, a folder or a wheel means, ``content`` looks inside without running
anything, ``checks`` refuses what does not fit, ``tools`` builds the commands, ``kept`` puts an
environment back, ``steps`` does it all in order. Nothing is ever taken from a package index by its
name alone, and nothing that is installed is replaced but the plugin itself.
"""

from __future__ import annotations

from hub_core.errors import InstallError
from hub_core.install.removal import uninstall
from hub_core.install.steps import install
from hub_core.install.updates import update

__all__ = ["InstallError", "install", "uninstall", "update"]
