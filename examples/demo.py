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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backbone import place
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = Path(".demo")
OUT = WORK / "sentiment"
BACKBONE_ID = "demo/all-MiniLM-L6-v2"
NAME = "demo/movie-sentiment"
SENTENCES = (
    "A warm, funny and deeply moving film.",
    "A dull, lifeless mess.",
    "The plot is thin, but the acting carries it.",
)
console = Console(highlight=False)


def hub(*arguments: str) -> None:
    """Print a ``hub`` command and run it; the demo stops where it fails."""
    run(f"hub {shlex.join(arguments)}", [sys.executable, "-m", "hub_core", *arguments])


def run(shown: str, command: list[str]) -> None:
    """Print a command as a user would type it, and run it."""
    console.print(f"\n[bold]$ {shown}[/bold]", soft_wrap=True)
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONUTF8": "1"}, check=False)
    if done.returncode:
        sys.exit(done.returncode)


@contextmanager
def served() -> Iterator[None]:
    """Run a Hub on this machine, which every command in the block takes for the Hub."""
    arguments = ["serve", "--dir", str(WORK / "hub"), "--port", "0"]
    console.print(f"\n[bold]$ hub {shlex.join(arguments)} &[/bold]", soft_wrap=True)
    command = [sys.executable, "-m", "hub_core", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    try:
        for line in (process.stdout.readline() for _ in range(2)):
            console.print(line, end="")
            name, _, value = line.removeprefix("export ").strip().partition("=")
            os.environ[name] = value
        yield
    finally:
        process.terminate()
        process.wait()


def share(backbone: str) -> str:
    """Publish what was trained with its card, find it, use it from the Hub; say where it is."""
    os.environ["HF_HUB_DISABLE_UPDATE_CHECK"] = "1"  # or hf talks of itself
    upload = [sys.executable, "-c", "from huggingface_hub.cli.hf import main; main()",
              "upload", "--quiet", BACKBONE_ID, backbone]  # fmt: skip
    run(f"hf upload --quiet {BACKBONE_ID} {backbone}", upload)
    hub(
        *("push", str(OUT), NAME),
        *("--backbone-id", BACKBONE_ID),
        *("--license", "apache-2.0", "--language", "en"),
    )
    hub("search", "--backbone", BACKBONE_ID, "--method", "lora")
    hub("predict", NAME, *SENTENCES)
    hub("verify", NAME, "--data", "examples/movies.csv")
    script = str(HERE.relative_to(ROOT) / "plain_peft.py")
    os.environ["PYTHONWARNINGS"] = "ignore::FutureWarning"  # of transformers, about itself
    arguments = [script, NAME, *SENTENCES]
    run(f"python {shlex.join(arguments)}", [sys.executable, *arguments])
    return _address()


def _address() -> str:
    """Return where the published card is, and what the pulled adapter says of a sentence."""
    command = [sys.executable, "-m", "hub_core", "predict", NAME, SENTENCES[0], "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    said = json.loads(done.stdout)
    url = f"{os.environ['HF_ENDPOINT']}/{NAME}/resolve/main/README.md"
    return f"{url}\nPulled from there, it says: {said['label']}  {said['input']}"


def main() -> None:
    """Train, measure, verify and predict; publish and use it from there; then show figures."""
    started = time.perf_counter()
    os.chdir(ROOT)
    backbone = str(place(WORK / "all-MiniLM-L6-v2"))
    hub("methods", "--kind", "head")
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
    with served():
        published = share(backbone)
    show(time.perf_counter() - started)
    console.print(f"\nPublished with its card: {published}", soft_wrap=True)


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
        f"serve --dir {WORK / 'hub'}": "the Hub of the demo, with what was published",
    }
    console.print("\nNext:")
    for words, meaning in steps.items():
        console.print(f"  [bold].venv/bin/hub {words:24}[/bold]  {meaning}", soft_wrap=True)


if __name__ == "__main__":
    main()
