"""Write one tiny artifact of every kind, to be read for ever: run once for each format.

    python tests/data/artifacts/make.py

What is in ``format-N`` is never written again: a new format gets a new folder beside the old ones.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "toys")]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HUB_CORE_CACHE"] = tempfile.mkdtemp()

import tinymodels  # noqa: E402
import toydata  # noqa: E402
from hub_core.manifest import FORMAT  # noqa: E402

import hub_core  # noqa: E402

LABELLED = {"train": toydata.labelled(40), "validation": toydata.labelled(8, seed=1)}
SCORED = {"train": toydata.scored(40), "validation": toydata.scored(8, seed=1)}
TOPICS = {"train": toydata.topics(40), "validation": toydata.topics(8, seed=1)}


def recipes(bert):
    """Yield name, recipe and data of every kind."""
    int8 = {"strategies": ["full"], "compressors": ["quantize-int8"]}
    pruned = {"strategies": ["lora"], "compressors": [{"name": "prune-magnitude", "sparsity": 0.3}]}
    dora = {"name": "lora", "r": 2, "dora": True, "rslora": True}
    small = {"name": "lora", "r": 4, "targets": ["query", "value"]}
    yield "delta-lora", tinymodels.recipe(bert, strategies=[small]), LABELLED
    yield "delta-dora", tinymodels.recipe(bert, strategies=[dora]), LABELLED
    yield "delta-pruned", tinymodels.recipe(bert, **pruned), LABELLED
    yield "head-only", tinymodels.recipe(bert, strategies=["head-only"]), LABELLED
    yield "whole-plain", tinymodels.recipe(bert, strategies=["full"]), LABELLED
    yield "whole-int8", tinymodels.recipe(bert, **int8), LABELLED
    yield "toy-prefix", toydata.recipe(strategies=["toy-prefix", "toy-range"]), LABELLED
    yield "toy-shrink", toydata.recipe(strategies=["full"], compressors=["toy-shrink"]), LABELLED
    regression = tinymodels.recipe(bert, head="regression", strategies=[small])
    yield "regression", regression, SCORED
    two = tinymodels.recipe(bert, strategies=[small])
    two["tasks"] = {"mood": {"head": "classification"}, "topic": {"head": "classification"}}
    yield "two-tasks", two, {"mood": LABELLED, "topic": TOPICS}


def main():
    """Train and save all of them, each proven by a fresh process."""
    target = HERE / f"format-{FORMAT}"
    if target.exists():
        sys.exit(f"{target} is kept as it is")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "kept"
        bert = tinymodels.save("bert", root / "backbone")
        for name, recipe, data in recipes(bert):
            hub_core.train(recipe, data, out=root / name)
            shutil.rmtree(root / f"{name}.run")
            print(name)
        shutil.copytree(root, target)


if __name__ == "__main__":
    main()
