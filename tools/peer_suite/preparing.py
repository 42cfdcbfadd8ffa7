"""The suite of the installed huggingface_hub, laid out so that it can run here."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
SETTINGS = """[pytest]
addopts = -Werror::FutureWarning -p no:cacheprovider -q --strict-markers
asyncio_default_fixture_loop_scope = function
timeout = 60
"""
"""The suite's own settings ask for the public staging server, and for much output."""


def lay_out(work: Path) -> Path:
    """Return a fresh copy of the suite, which is downloaded once for each version.

    Args:
        work: A folder for all that the run makes.
    """
    name = f"huggingface_hub-{version('huggingface_hub')}"
    source = work / f"{name}.tar.gz"
    if not source.exists():
        _pip("download", "--no-deps", "--no-binary", "huggingface_hub", "--dest", str(work),
             name.replace("-", "=="))  # fmt: skip
    suite = work / "suite"
    shutil.rmtree(suite, ignore_errors=True)
    with tarfile.open(source) as archive:
        members = [one for one in archive if one.name.startswith(f"{name}/tests/")]
        archive.extractall(work / "unpacked", members, filter="data")
    shutil.move(work / "unpacked" / name, suite)
    shutil.copyfile(HERE / "overlay_conftest.py", suite / "tests" / "conftest.py")
    (suite / "tests" / "__init__.py").touch()
    (suite / "pytest.ini").write_text(SETTINGS, encoding="utf-8")
    return suite


def make_python(work: Path) -> Path:
    """Return a Python that sees this one's packages and, beside them, what only the suite needs."""
    folder = work / "venv"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True)
    packages = Path(sysconfig.get_path("purelib"))
    seen = Path(own.stdout.strip()) / "beside.pth"
    seen.write_text(f"{packages}\n", encoding="utf-8")
    constraints = HERE.parents[1] / "constraints.txt"
    _pip("--python", str(python), "install", "--constraint", str(constraints),
         "--requirement", str(HERE / "requirements.txt"))  # fmt: skip
    return python


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *arguments], check=True)
