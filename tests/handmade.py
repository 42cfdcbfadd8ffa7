"""Wheels of plugins made by hand, and environments to install them into."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from hub_core.install import InstallError, install
from hub_core.registry import Registry

PLUGIN = """
from hub_core.spec import Method, hookimpl

@hookimpl
def hub_strategies():
    yield Method(name="{method}", summary="Something", factory="{package}.part:Part",
                 options="{package}.part:Mine")
"""
PART = """
from hub_core.options import Options

class Mine(Options):
    pass

class Part:
    pass
"""


def wheel(folder, name="hub-far", version="1.0", *, code=PLUGIN, requires=("hub-core>=0.1",),
          points=None, files=None, file_name="", method="far-away"):  # fmt: skip
    """Write a wheel as a zip file and return its path; ``files`` come last, in their order."""
    package = name.replace("-", "_")
    info = f"{package}-{version}.dist-info"
    if points is None:
        points = f"[hub_core]\n{name} = {package}.plugin\n"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    code = code.replace("{method}", method).replace("{package}", package)
    content = {
        f"{package}/__init__.py": f'__version__ = "{version}"\n',
        f"{package}/plugin.py": code,
        f"{package}/part.py": PART,
        **(files or {}),
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points,
    }
    record = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (file_name or f"{package}-{version}-py3-none-any.whl")
    with zipfile.ZipFile(path, "w") as archive:
        for where, text in {**content, f"{info}/RECORD": record}.items():
            archive.writestr(where, text)
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Environment:
    """A fresh environment on top of this one, so that nothing large is installed again."""

    def __init__(self, folder):
        self.folder = folder / "env"
        self.settings = folder / "settings"
        self.elsewhere = folder / "cwd"
        self.elsewhere.mkdir()
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.folder], check=True)
        script = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        asked = [self.python, "-c", script]
        self.site = Path(subprocess.run(asked, check=True, capture_output=True, text=True)
                         .stdout.strip())  # fmt: skip
        below = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
        lines = [f"import site; site.addsitedir({place!r})" for place in below]
        (self.site / "below.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def variables(self, **more):
        """The variables of processes here: no settings of pip but those that are given."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "HUB_"))}
        fixed = {
            "HUB_CORE_CACHE": str(self.settings),
            "HUB_CORE_CONFIG": str(self.settings),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_RETRIES": "0",
            "PIP_NO_CACHE_DIR": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return kept | fixed | {"PIP_NO_INDEX": "1"} | more

    def run(self, *arguments, stdin="", **variables):
        """Run Python here, away from any source folder, and return the finished process."""
        return subprocess.run(
            [self.python, *map(str, arguments)],
            cwd=self.elsewhere, input=stdin, env=self.variables(**variables),
            capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip

    def hub(self, *arguments, **more):
        return self.run("-m", "hub_core", *arguments, **more)

    def files(self):
        """Every file of the environment with its content's hash."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {p: sha256(p) for p in paths if "__pycache__" not in p.parts and not p.is_symlink()}

    def clear(self):
        """Remove everything that was installed and what was remembered."""
        for path in self.site.iterdir():
            if path.name != "below.pth":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(self.settings, ignore_errors=True)


API = """
import json, sys
from hub_core.errors import HubError
from hub_core.install import install, update
from hub_core.registry import PluginEntry, Registry, Source

action, text, entries = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
plugins = {}
for name, values in entries.items():
    nowhere = {"url": "", "subdirectory": "", "index": ""}
    source = Source.model_construct(**nowhere | values["source"])
    rest = {"code": "", "sha256": "", "methods": (), "commands": (), "core": ""}
    made = PluginEntry.model_construct(**rest | values | {"source": source})
    plugins[name] = made.listed_by("the registry of the tests")
registry = Registry.model_construct(format=1, plugins=plugins)

def ask(question):
    print("asked:", question)
    return False

def say(line):
    print("$", line)

try:
    print({"install": install, "update": update}[action](text, registry, ask=ask, say=say))
except HubError as error:
    print(error.message)
    print(error.hint)
    sys.exit(1)
"""
NOTHING = Registry.model_construct(format=1, plugins={})


def listed(path, name="hub-far", version="1.0", **more):
    source = {"kind": "url", "url": path if isinstance(path, str) else path.as_uri()}
    return {name: {"version": version, "source": source, "sha256": "0" * 64} | more}


def by_api(environment, text, entries, action="install", **variables):
    """Install with entries that no registry may hold, such as files; return what it says."""
    done = environment.run("-c", API, action, text, json.dumps(entries), **variables)
    sys.stderr.write(done.stderr)  # shown where a test fails
    return done.returncode, done.stdout.splitlines()


def told(done):
    """What a failed command says on its last lines, without what pip says."""
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith(("Error: ", "Hint: "))]
    return "\n".join(lines)


def versions(environment):
    rows = json.loads(environment.hub("plugins", "--json").stdout)
    return {row["distribution"]: row["version"] for row in rows if row["distribution"] == "hub-far"}


def refusal(text, registry=NOTHING, **more):
    """Why an installation into this environment is refused; nobody is asked, nothing is run."""

    def never(line):
        raise AssertionError(line)

    with pytest.raises(InstallError) as caught:
        install(str(text), registry, ask=never, say=never, **more)
    return caught.value.message, caught.value.hint
