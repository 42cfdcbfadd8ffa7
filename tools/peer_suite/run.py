"""Run huggingface_hub's own tests against ``hub serve``; fail on any end that is not listed.

make peer-suite
python tools/peer_suite/run.py tests/test_repocard.py   # some of its files only
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import scope
from judging import judge, summary
from preparing import lay_out, make_python

HERE = Path(__file__).parent
WORK = HERE.parents[1] / "build" / "peer-suite"
UNSET = ("HUGGINGFACE_CO_STAGING", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE")


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Serve a fresh folder and give the server's address."""
    command = [sys.executable, str(HERE / "serving.py"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def environment(address: str, results: Path) -> dict[str, str]:
    """Return what the suite's process finds around it."""
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return kept | {
        "PEER_ENDPOINT": address,
        "PEER_RESULTS": str(results),
        "HF_ENDPOINT": address,
        "HF_HOME": str(results.with_name("home")),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
    }


def main(chosen: list[str]) -> int:
    """Run the suite, or some files of it, and print how it ended."""
    WORK.mkdir(parents=True, exist_ok=True)
    suite, python, listed = lay_out(WORK), make_python(WORK), scope.read()
    run = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=WORK))
    results = run / "results.json"
    names = sorted(path.name for path in (suite / "tests").glob("test_*.py"))
    files = chosen or [f"tests/{name}" for name in names if name not in listed.files]
    without = " and ".join(f"not {mark}" for mark in listed.marks)
    start = time.monotonic()
    with (
        server(run / "data") as address,
        (run / "output.txt").open("w", encoding="utf-8") as output,
    ):
        command = [str(python), "-m", "pytest", "-m", without, "--tb=short", *files]
        subprocess.run(command, cwd=suite, env=environment(address, results),
                       stdout=output, stderr=output, check=False)  # fmt: skip
    if not results.exists():
        print(f"pytest ended without results; its output is {run / 'output.txt'}")
        return 1
    found = json.loads(results.read_text(encoding="utf-8"))
    if chosen:
        listed = listed.within(files)
    verdict = judge(found["ended"], listed)
    seconds = round(time.monotonic() - start)
    left = len(set(names) & listed.files.keys())
    head = (
        f"huggingface_hub {version('huggingface_hub')}, its own tests against hub serve:"
        f" {len(files)} files in {seconds} s"
        f" ({left} files and {len(found['left_out'])} tests are not run, see {scope.LIST.name})"
    )
    print(summary(verdict, found["ended"], listed, head))
    print(f"the whole output: {(run / 'output.txt').relative_to(WORK.parents[1])}")
    if verdict.good:
        shutil.rmtree(run / "data")
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
