"""The program that installs: pip of the running interpreter, or uv where there is no pip."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from hub_core.errors import InstallError

Say = Callable[[str], None]
QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "GIT_TERMINAL_PROMPT": "0"}
"""Settings of what is run: it never asks, and is silent about itself."""
PATIENT = {"PIP_RETRIES": "1"}
"""Settings that the user's own go before."""


@dataclass(frozen=True, slots=True)
class Tool:
    """An installer for the running interpreter."""

    name: Literal["pip", "uv"]
    program: tuple[str, ...]

    def install(self, *arguments: str) -> tuple[str, ...]:
        """Return the command that installs."""
        return (*self.program, "install", *self._python, *arguments)

    def uninstall(self, *names: str) -> tuple[str, ...]:
        """Return the command that removes distributions without asking."""
        yes = ("--yes",) if self.name == "pip" else ()
        return (*self.program, "uninstall", *self._python, *yes, *names)

    @property
    def _python(self) -> tuple[str, ...]:
        return ("--python", sys.executable) if self.name == "uv" else ()


def tool() -> Tool:
    """Return what installs here.

    Raises:
        InstallError: There is neither pip nor uv.
    """
    if find_spec("pip") is not None:
        return Tool("pip", (sys.executable, "-m", "pip"))
    if uv := shutil.which("uv"):
        return Tool("uv", (uv, "pip"))
    raise InstallError(
        f"there is neither pip for {sys.executable} nor uv",
        hint=f"{shown([sys.executable, '-m', 'ensurepip'])} brings pip",
    )


def shown(command: Sequence[str]) -> str:
    """Return a command as it can be pasted into a shell."""
    return subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)


def run(command: Sequence[str], say: Say) -> int:
    """Tell a command, run it with what it prints on stderr, and return its exit code."""
    say(shown(command))
    try:
        done = subprocess.run(
            command, env=PATIENT | os.environ | QUIET, stdin=subprocess.DEVNULL, stdout=2,
            check=False,
        )  # fmt: skip
    except OSError as error:
        raise InstallError(f"{command[0]} cannot be run: {error.strerror}") from None
    return done.returncode
