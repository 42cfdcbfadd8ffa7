"""The walk-through of CONTRIBUTING.md as steps: files to write, commands to run, what they print.

A block after a paragraph that starts with a path in backticks is that file. In a console block,
lines after ``$`` are commands, the others what they print; ``…`` stands for anything.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECTION = re.compile(r"^## A plugin in twenty minutes\n(.*?)^## ", re.M | re.S)
BLOCK = re.compile(r"^(`{3,})(\w+)\n(.*?)^\1$", re.M | re.S)
PATH = re.compile(r"`([\w./-]+)`")


@dataclass(frozen=True)
class File:
    """A file as the text shows it."""

    path: str
    text: str

    def write(self, folder: Path) -> None:
        """Write it; the command before has made its folder."""
        (folder / self.path).write_text(self.text, encoding="utf-8", newline="\n")


@dataclass(frozen=True)
class Command:
    """A command as the text shows it, and what it prints."""

    line: str
    output: str

    def run(self, folder: Path, python: Path, env: Mapping[str, str]) -> str:
        """Run it with a Python of one's choice and return what it prints."""
        return run(shlex.split(self.line.replace("\\\n", " ")), folder, python, env)

    def prints(self, output: str) -> bool:
        """Return whether it printed what the text shows."""
        shown = (re.escape(part) for part in _narrow(self.output).split("…"))
        return re.fullmatch(".*".join(shown), _narrow(output), re.S) is not None


def _narrow(output: str) -> str:
    """Return a text in which columns of a table stand one space apart, however wide they are."""
    return "\n".join(" ".join(line.split()) for line in output.strip().splitlines())


def run(words: list[str], folder: Path, python: Path, env: Mapping[str, str], code: int = 0) -> str:
    """Run a command whose first word is ``hub`` or ``python``; return all that it prints."""
    programs = {"hub": [str(python), "-m", "hub_core"], "python": [str(python)]}
    done = subprocess.run(
        [*programs[words[0]], *words[1:]],
        cwd=folder, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode != code:
        said = f"{shlex.join(words)} ended with {done.returncode}, not {code}:\n{done.stdout}"
        raise RuntimeError(said)
    return done.stdout


def steps(text: str | None = None) -> list[File | Command]:
    """Return the steps of the walk-through, in order."""
    whole = (ROOT / "CONTRIBUTING.md").read_text("utf-8") if text is None else text
    section = SECTION.search(whole)
    assert section is not None
    found: list[File | Command] = []
    start = 0
    for block in BLOCK.finditer(section[1]):
        before = section[1][start : block.start()].strip().split("\n\n")[-1]
        start = block.end()
        if block[2] == "console":
            found += _commands(block[3])
        elif path := PATH.match(before):
            found.append(File(path[1], block[3]))
    return found


def _commands(block: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        lines = part.splitlines()
        count = next(n for n, line in enumerate(lines, 1) if not line.endswith("\\"))
        yield Command("\n".join(lines[:count]), "\n".join(lines[count:]))


def layered(folder: Path) -> Path:
    """Make an environment that sees what this one has, and return its Python.

    What is installed into it stays in it; this one is not changed.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    script = "import sysconfig; print(sysconfig.get_path('purelib'))"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    asked = [str(python), "-c", script]
    site = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    import sysconfig

    below = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    lines = [f"import site; site.addsitedir({place!r})" for place in below]
    Path(site, "below.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return python
