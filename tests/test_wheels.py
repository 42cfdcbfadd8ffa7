"""Each plugin of this repository passes its suite as a wheel, alone with the core.

A folder of wheels is the index. Every plugin gets an environment of its own whose other libraries
come from the one that runs the tests: those that the wheels say they need, and no others, so that
a requirement that a wheel forgot is missing there. What extends hub-core is never among them.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from site import getsitepackages

import pytest
from packaging.requirements import Requirement

from hub_core.catalog import normalized
from hub_core.scaffold.wheels import look_into

pytestmark = pytest.mark.exhaustive

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
TOOLS = ["pip", "pytest"]
BELOW = """
import re, sys
from importlib.machinery import PathFinder
from importlib.metadata import DistributionFinder, MetadataPathFinder

PLACES, MODULES, DISTRIBUTIONS = {places!r}, {modules!r}, {distributions!r}


class Below:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, PLACES) if name in MODULES else None

    @staticmethod
    def find_distributions(context=DistributionFinder.Context()):
        if "path" not in vars(context):  # who names places wants no others
            for name in DISTRIBUTIONS if context.name is None else [context.name]:
                if re.sub("[-_.]+", "-", name).lower() in DISTRIBUTIONS:
                    own = DistributionFinder.Context(name=name, path=PLACES)
                    yield from MetadataPathFinder.find_distributions(own)


sys.meta_path.append(Below)
"""


def name_of(plugin):
    return tomllib.loads((plugin / "pyproject.toml").read_text("utf-8"))["project"]["name"]


# -- the index


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A folder with the wheels of the core and of all plugins."""
    folder = tmp_path_factory.mktemp("index")
    said(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", folder, ROOT, *PLUGINS)  # fmt: skip
    return {normalized(wheel.first("Name")): wheel for wheel in map(look_into, folder.glob("*"))}


def said(*command, code=0, **more):
    """Run a command and return what it prints."""
    done = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", errors="replace", check=False, **more,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


# -- what an environment holds


def needed(requirements, index):
    """Return every distribution that is needed and is not in the index, by name."""
    found, seen, waiting = {}, set(), [Requirement(text) for text in requirements]
    while waiting:
        wanted = waiting.pop()
        name = normalized(wanted.name)
        if name in index or (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        found[name] = distribution = metadata.distribution(name)
        assert wanted.specifier.contains(distribution.version, prereleases=True), wanted
        waiting += applying(distribution.requires or (), wanted.extras)
    return found


def applying(requirements, extras=()):
    """Return the requirements that hold on this machine, with these extras."""
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *extras)):
            yield requirement


def modules_of(distribution):
    """Return the names of a distribution's modules and packages that stand at the top."""
    code = [file for file in distribution.files or () if file.suffix in (".py", ".so", ".pyd")]
    return {file.parts[0].partition(".")[0] for file in code if file.parts[0] != ".."}


def layered(folder, found):
    """Make an environment without pip that sees these distributions of the running one."""
    said(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(said(python, "-c", asked).strip())
    modules = set().union(*map(modules_of, found.values()))
    text = BELOW.format(
        places=getsitepackages(), modules=frozenset(modules), distributions=frozenset(found)
    )
    (site / "below.py").write_text(text, "utf-8")
    (site / "below.pth").write_text("import below\n", "utf-8")
    return python


class Alone:
    """An environment with the core and one plugin."""

    def __init__(self, folder, name, index):
        self.folder, self.name = folder, name
        wheels = [index["hub-core"], index[name]]
        wanted = [r for w in wheels for r in applying(w.metadata.get("Requires-Dist", ()))]
        self.below = needed([*map(str, wanted), *TOOLS], index)
        self.python = layered(folder / "venv", self.below)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUB_", "PYTHON"))}
        self.env = kept | {
            "HUB_CORE_CACHE": str(folder / "cache"),
            "HUB_CORE_CONFIG": str(folder / "config"),
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONUTF8": "1",
        }
        places = wheels[0].path.parent
        self.does("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index",
                  "--find-links", places, "--no-deps", "hub-core", name)  # fmt: skip

    def does(self, *words, code=0):
        """Run its Python in an empty folder."""
        place = self.folder / "empty"
        place.mkdir(exist_ok=True)
        return said(self.python, *words, code=code, cwd=place, env=self.env)


SEEN = """
import importlib.util, json, re, sys
from importlib import metadata
names = {re.sub("[-_.]+", "-", d.metadata["Name"]).lower() for d in metadata.distributions()}
places = {name: importlib.util.find_spec(name) for name in sys.argv[1:]}
print(json.dumps([sorted(names), {n: s.origin for n, s in places.items() if s is not None}]))
"""


@pytest.fixture(params=PLUGINS, ids=name_of)
def plugin(request):
    return request.param


@pytest.fixture
def alone(plugin, index, tmp_path):
    return Alone(tmp_path, name_of(plugin), index)


def packages(wheel):
    return {name.partition("/")[0] for name in wheel.names if name.endswith("/__init__.py")}


def test_a_wheel_passes_its_suite_alone_with_the_core(plugin, alone, index, tmp_path):
    listed = json.loads(alone.does("-m", "hub_core", "plugins", "list", "--json"))
    assert [(found["distribution"], found["status"]) for found in listed] == [(alone.name, "ok")]
    names, places = json.loads(alone.does("-c", SEEN, *set().union(*map(packages, index.values()))))
    assert names == sorted([*alone.below, "hub-core", alone.name])
    assert set(places) == packages(index["hub-core"]) | packages(index[alone.name])
    assert all(Path(place).is_relative_to(tmp_path / "venv") for place in places.values())
    shutil.copytree(plugin / "tests", tmp_path / "empty" / "tests")
    print(alone.does("-m", "pytest", "-q", *suite(plugin)))


def suite(plugin):
    """Return what a plugin promises without any other; where it does not say, all of its tests."""
    own = [f"tests/{name}" for name in ("test_conformance.py", "test_alone.py")]
    return [name for name in own if (plugin / name).is_file()] or ["tests"]
