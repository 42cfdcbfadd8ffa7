"""Every error that a user can meet is in one tree, which its file draws."""

import ast
import inspect
from pathlib import Path

import hub_core
from hub_core import errors

CORE = Path(hub_core.__file__).parent
PLUGINS = CORE.parent / "plugins"


def drawn():
    """Return the error and its parent in each line of the tree, four columns a level."""
    found, above = {}, {0: "Exception"}
    _, _, tree = errors.__doc__.partition("\n\n")
    for line in tree.partition("\n\n")[0].splitlines():
        name = line.strip(" │├└─").split()[0]
        level = line.index(name) // 4
        found[name], above[level] = above[level - 1], name
    return found


def test_the_tree_holds_every_error_under_its_parent():
    classes = dict(inspect.getmembers(errors, inspect.isclass))
    real = {
        name: found.__base__.__name__
        for name, found in classes.items()
        if issubclass(found, errors.HubError)
    }
    assert len(real) > 10
    assert drawn() == real


def test_no_error_of_the_tree_is_anywhere_else():
    files = [*CORE.rglob("*.py"), *PLUGINS.glob("*/hub_*/**/*.py")]
    elsewhere = [
        f"{path}: {node.name}"
        for path in files
        if path != CORE / "errors.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        and {ast.unparse(base).rpartition(".")[2] for base in node.bases} & {*drawn()}
    ]
    assert elsewhere == []


def test_where_they_are_raised_they_can_be_caught_by_name():
    from hub_core import install, registry

    assert install.InstallError is errors.InstallError
    assert registry.RegistryError is errors.RegistryError
