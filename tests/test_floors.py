"""The house stands: imports point down, light rooms stay light, the core knows no technique."""

import ast
import graphlib
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hub_core

CORE = Path(hub_core.__file__).parent
PLUGINS = CORE.parent / "plugins"

FLOORS = [
    {"errors", "declare", "deprecation", "options", "figures", "tomltext"},
    {"spec", "catalog", "recipe", "identity", "manifest", "predictions", "tables", "locks",
     "cachefiles", "notes", "folders", "recorded", "inert", "scan", "readers", "adapter_config",
     "remote", "card", "registry", "available", "scaffold",
     "disabled", "corerange", "added", "install", "doctor",
     "wording", "textfiles", "arrowfiles", "hubdata", "sources", "values", "stored"},
    {"batch", "wrapper", "between", "model", "part", "gradients", "library"},
    {"modes", "devices", "data", "state", "build", "timeline", "training", "evaluate", "artifact",
     "proof", "loading", "runs", "tasks", "tracking", "jobs", "survey", "lengths", "balance",
     "rows", "explain", "sketch", "fresh", "features", "prefix", "memory", "optimizing", "order",
     "interrupts", "origin", "start", "claims", "publishing", "extract", "sparse",
     "effects", "compressing"},
    {"testing"},
    {"cli", "__main__"},
]  # fmt: skip
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

LIGHT = ["hub_core", *(f"hub_core.{room}" for room in sorted(FLOORS[0] | FLOORS[1])),
         "hub_core.cli"]  # fmt: skip
HEAVY = ["torch", "transformers", "peft", "datasets", "numpy"]

NAMES_OF_TECHNIQUES = """
    lora dora qlora ia3 bitfit houlsby fusion
    bert roberta distilbert deberta electra albert gpt gpt2 llama qwen t5 bart whisper bilstm lstm
    glove elmo
    prune prunes pruning pruned sparsity lottery wanda magnitude
    quantize quantizes quantized quantization int4 int8 gptq awq
    distill distills distilled distillation teacher student
    unfreeze unfreezing gradual discriminative reinitialize smoothing
    classification classifier regression ner mlm
"""
TECHNIQUES = set(NAMES_OF_TECHNIQUES.split())


def sources(folder=CORE):
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(folder.rglob("*.py"))}


def room_of(path):
    parts = path.relative_to(CORE).with_suffix("").parts
    return parts[0]


def for_types_only(tree):
    """The nodes under ``if TYPE_CHECKING``, which never run."""
    return {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }


def imports(tree):
    """Every module that is imported, also inside functions, as (line, dotted name)."""
    exempt = for_types_only(tree)
    for node in ast.walk(tree):
        if id(node) in exempt:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def rooms_used(tree):
    for line, name in imports(tree):
        package, _, rest = name.partition(".")
        room = rest.partition(".")[0]
        if package == "hub_core" and ((CORE / f"{room}.py").exists() or (CORE / room).is_dir()):
            yield line, room


def test_every_module_has_a_floor():
    rooms = {room_of(path) for path in sources()} - {"__init__"}
    assert rooms == set(FLOOR)


def test_imports_point_down():
    wrong = [
        f"{path.relative_to(CORE)}:{line} imports {room}"
        for path, tree in sources().items()
        if room_of(path) != "__init__"
        for line, room in rooms_used(tree)
        if room and FLOOR[room] > FLOOR[room_of(path)]
    ]
    assert wrong == []


def test_modules_of_a_floor_do_not_import_each_other_in_circles():
    graph = {}
    for path, tree in sources().items():
        name = ".".join(path.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__")
        used = {n.removeprefix("hub_core.") for _, n in imports(tree) if n.startswith("hub_core.")}
        graph[name] = used - {name}
    modules = set(graph)
    order = graphlib.TopologicalSorter({name: used & modules for name, used in graph.items()})
    assert set(order.static_order()) == modules  # raises CycleError, which shows the circle


def test_importing_the_package_imports_nothing_else_of_it():
    tree = ast.parse((CORE / "__init__.py").read_text("utf-8"))
    assert [name for _, name in imports(tree) if name.startswith("hub_core")] == []


def test_no_library_of_a_plugin_is_imported_by_the_core():
    wrong = [
        f"{path.relative_to(CORE)}:{line} imports {name}"
        for path, tree in sources().items()
        for line, name in imports(tree)
        if name.partition(".")[0] in {"transformers", "peft", "tokenizers", "sklearn", "scipy"}
        or re.fullmatch(r"hub_(?!core\b)\w+", name.partition(".")[0])
    ]
    assert wrong == []


def test_plugins_use_floors_0_to_2_of_the_core_and_no_other_plugin():
    wrong = []
    for folder in sorted(PLUGINS.glob("*/hub_*")):
        for path, tree in sources(folder).items():
            for line, room in rooms_used(tree):
                if FLOOR.get(room, 0) > 2:
                    wrong.append(f"{path.relative_to(PLUGINS)}:{line} imports hub_core.{room}")
            for line, name in imports(tree):
                package = name.partition(".")[0]
                if package.startswith("hub_") and package not in {"hub_core", folder.name}:
                    wrong.append(f"{path.relative_to(PLUGINS)}:{line} imports {name}")
    assert wrong == []


# -- light rooms


def in_a_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_light_rooms_import_nothing_heavy():
    code = (
        "import importlib, json, sys\n"
        "found = {}\n"
        f"for room in {LIGHT}:\n"
        "    importlib.import_module(room)\n"
        f"    found[room] = [name for name in {HEAVY} if name in sys.modules]\n"
        "print(json.dumps(found))\n"
    )
    assert in_a_new_process(code) == {room: [] for room in LIGHT}


def test_listing_methods_imports_neither_heavy_libraries_nor_any_options():
    code = (
        "import json, sys\n"
        "from hub_core.catalog import installed\n"
        "methods = installed().methods()\n"
        "options = {provided.method.options.partition(':')[0] for provided in methods}\n"
        "factories = {provided.method.factory.partition(':')[0] for provided in methods}\n"
        f"heavy = {{'pydantic', *{HEAVY}}}\n"
        "print(json.dumps([len(methods), sorted((heavy | options | factories) & set(sys.modules)),"
        " [p.reason for p in installed().plugins() if p.status != 'ok']]))\n"
    )
    count, imported, reasons = in_a_new_process(code)
    assert count > 0
    assert imported == []
    assert reasons == []


def test_looking_for_plugins_imports_no_plugin():
    code = (
        "import json, sys\n"
        "from hub_core.catalog import installed\n"
        "modules = {plugin.module for plugin in installed().plugins()}\n"
        "print(json.dumps([len(modules), sorted(modules & set(sys.modules))]))\n"
    )
    count, imported = in_a_new_process(code)
    assert count > 0
    assert imported == []


# -- no technique by name


def explanations(tree):
    """Docstrings, texts that stand alone under an attribute, and help texts: they may name some."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield id(node.value)
        elif isinstance(node, ast.keyword) and node.arg in {"help", "epilog", "short_help"}:
            yield from (id(inner) for inner in ast.walk(node.value))


def texts_in(tree):
    exempt = set(explanations(tree))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in exempt
        ):
            yield node.lineno, node.value


def names_in(tree):
    """Every identifier and every text of the code, as (line, name)."""
    yield from texts_in(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant):
            for attribute in ("id", "attr", "arg", "name", "asname", "module"):
                if isinstance(name := getattr(node, attribute, None), str):
                    yield getattr(node, "lineno", 0), name


def words(name):
    """``LoraConfig``, ``lora_config`` and ``"a lora config"`` hold the words lora and config."""
    return {w.lower() for w in re.findall(r"[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+\d*|\d+", name)}


def test_the_core_names_no_technique():
    wrong = [
        f"{path.relative_to(CORE)}:{line}: {name!r}"
        for path, tree in sources().items()
        for line, name in names_in(tree)
        if words(name) & TECHNIQUES
    ]
    assert wrong == []


WORDS = {
    "transformers",  # a tag too, and a library whose version is recorded
    "pooling",  # how vectors become one, which heads tell in their facts
}
"""Names of methods that mean something else in the core."""


def test_the_core_holds_no_method_name_of_a_plugin():
    methods = {
        keyword.value.value
        for path in PLUGINS.glob("*/hub_*/plugin.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Method"
        for keyword in node.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }
    assert len(methods) > 5
    wrong = [
        f"{path.relative_to(CORE)}:{line}: {name!r}"
        for path, tree in sources().items()
        for line, name in texts_in(tree)
        if name in methods - WORDS
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["LoraConfig", "lora_config", "use 'lora' here", "int8", "BERT"])
def test_a_technique_is_recognized_in_any_spelling(name):
    assert words(name) & TECHNIQUES


# -- public names


def test_public_names_can_be_imported_and_are_all_there():
    tree = ast.parse((CORE / "__init__.py").read_text("utf-8"))
    typed = {
        (alias.name, node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and id(node) in for_types_only(tree)
        for alias in node.names
    }
    assert typed == set(hub_core._PLACES.items())  # what type checkers see is what there is
    assert sorted(hub_core.__all__) == sorted([*hub_core._PLACES, "__version__"])
    for name, place in hub_core._PLACES.items():
        assert getattr(hub_core, name) is getattr(importlib.import_module(place), name)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'hub_core' has no attribute 'trian'$"):
        hub_core.trian  # noqa: B018
