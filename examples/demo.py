"""The main job, as a user would type it: from labelled sentences to a checked adapter.

Run by ``make demo``. Every step is a ``hub`` command, printed before it runs.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from backbone import place
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = Path(".demo")
OUT = WORK / "sentiment"
SENTENCES = (
    "A warm, funny and deeply moving film.",
    "A dull, lifeless mess.",
    "The plot is thin, but the acting carries it.",
)
console = Console(highlight=False)


def hub(*arguments: str) -> None:
    """Print a ``hub`` command and run it; the demo stops where it fails."""
    console.print(f"\n[bold]$ hub {shlex.join(arguments)}[/bold]", soft_wrap=True)
    command = [sys.executable, "-m", "hub_core", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONUTF8": "1"}, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Train, measure, verify and predict; then show the figures."""
    started = time.perf_counter()
    os.chdir(ROOT)
    backbone = str(place(WORK / "all-MiniLM-L6-v2"))
    hub("methods")
    hub(
        "train",
        *("--data", "examples/movies.csv", "--task", "sentiment"),
        *("--backbone", backbone),
        *("--head", "classification"),
        *("--strategy", "lora"),
        *("--compress", "quantize-int8"),
        *("--epochs", "2"),
        *("--out", str(OUT), "--overwrite"),
    )
    hub("evaluate", str(OUT), "--data", "examples/products.csv")
    hub("report", str(OUT))
    hub("verify", str(OUT))
    hub("predict", str(OUT), *SENTENCES)
    show(time.perf_counter() - started)


def show(seconds: float) -> None:
    """Print the figures of the artifact, read from its manifest."""
    manifest = json.loads((OUT / "hub.json").read_text("utf-8"))
    [task] = manifest["tasks"].values()
    counts = manifest["parameters"]
    size = sum(file.stat().st_size for file in OUT.iterdir())
    table = Table(title="What the demo made", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    test = task["metrics"]["test"]["accuracy"]
    table.add_row(
        "accuracy on held-out movie sentences", f"{test:.4f} (n = {task['examples']['test']})"
    )
    share = counts["trained"] / counts["total"]
    table.add_row("trained parameters", f"{counts['trained']:,} ({share:.1%})")
    table.add_row("bytes of the artifact", f"{size:,}")
    table.add_row("seconds of training", f"{manifest['seconds']:.0f}")
    table.add_row("seconds of the whole demo", f"{seconds:.0f}")
    console.print()
    console.print(table)
    steps = {
        "show lora": "every option of a method",
        "init": "write a recipe of your own",
        "train --help": "train without a recipe, or look first with --dry-run",
        f"inspect {OUT}": "what was made",
    }
    console.print("\nNext:")
    for words, meaning in steps.items():
        console.print(f"  [bold].venv/bin/hub {words:24}[/bold]  {meaning}", soft_wrap=True)


if __name__ == "__main__":
    main()
