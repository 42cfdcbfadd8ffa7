"""What tests of sharing need: an artifact trained once, a Hub, ``hub`` as a user types it."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
import tinymodels
import toydata
from hubs import Running, use
from test_pull import commit

import hub_core
from hub_core import catalog, manifest, notes
from hub_core.build import plan
from hub_core.cli import main
from hub_core.identity import sha256_of
from hub_core.part import Context
from hub_core.publishing import Description, publish
from hub_core.recorded import identity_of, recipe_of
from hub_core.remote.push import Wanted
from hub_core.tasks import read_data

NAME = "team/mood"
BASE = "team/tiny-bert"
ROWS = toydata.labelled(96)
TEXTS = ("a fine film", "a dull day")


def trained(factory):
    """Return a folder with ``tiny-bert``, ``out``, ``rows.jsonl``, ``test.jsonl``; made only once.

    Args:
        factory: pytest's ``tmp_path_factory``.
    """
    root = factory.getbasetemp() / "trained-to-be-shared"
    if not root.is_dir():
        partial = Path(tempfile.mkdtemp(dir=factory.getbasetemp()))
        tinymodels.save("bert", partial / "tiny-bert")
        lines(partial / "rows.jsonl", ROWS)
        recipe = tinymodels.recipe(partial / "tiny-bert", strategies=["lora"])
        hub_core.train(recipe, str(partial / "rows.jsonl"), out=partial / "out")
        lines(partial / "test.jsonl", held_out(partial))
        partial.rename(root)
    return root


def held_out(root):
    """Return the examples that training held out for the test."""
    content = manifest.read(root / "out")
    ctx = Context(restoring=True, identity=identity_of(content), place=str(root / "tiny-bert"))
    blueprint = plan(recipe_of(root / "out", content), catalog.installed(), ctx)
    return read_data(blueprint, str(root / "rows.jsonl"))["main"].splits["test"]


def lines(path, rows):
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def proven(folder):
    """Have this machine remember that it has seen the proof hold."""
    notes.note(notes.PROOFS, sha256_of(folder / manifest.NAME), "0.0e+00")


def artifact(root, tmp_path):
    """Return a copy of the artifact, whose proof this machine has seen."""
    folder = Path(shutil.copytree(root / "out", tmp_path / "out"))
    proven(folder)
    return folder


def serving(factory):
    """Yield a Hub with the artifact, its tag v1 and its backbone, for all tests of a file."""
    root, folder = trained(factory), factory.mktemp("serving")
    server = Running(folder / "hub")
    with pytest.MonkeyPatch.context() as patch:
        use(server.url, folder, patch)
        commit(server, root / "tiny-bert", name=BASE)
        described = Description("mit", ("en",), backbone_id=BASE)
        server.first = publish(artifact(root, folder), Wanted(NAME, tag="v1"), described).commit
    yield server
    server.app.rules.clear()
    server.stop()


def settled(server, tmp_path, monkeypatch):
    """Make a test use a Hub from an empty folder, and return the Hub."""
    use(server.url, tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    server.app.rules.clear()
    server.app.asked.clear()
    return server


def hub(capsys, *arguments, code=0):
    """Run ``hub`` in this process and return what it prints to stdout and to stderr."""
    capsys.readouterr()
    found = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert found == code, err
    return out, err


def refused(capsys, *arguments):
    """Return the complete stderr of a command that fails; it must print nothing to stdout."""
    out, err = hub(capsys, *arguments, code=1)
    assert out == ""
    return err
