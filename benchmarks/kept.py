"""What a benchmark has measured so far, in a file that is replaced after every run."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Kept:
    """Measured runs by name; a run that is there is not repeated.

    Args:
        path: The file; it goes on if it is there.
        setting: What must be the same for runs to be compared.

    Raises:
        SystemExit: The file is of another setting.
    """

    def __init__(self, path: Path, setting: dict[str, Any]) -> None:
        self.path, self.setting = path, setting
        stored = json.loads(path.read_text("utf-8")) if path.is_file() else {"setting": setting}
        if stored["setting"] != setting:
            raise SystemExit(f"{path} was measured with {stored['setting']}, this is {setting}; "
                             "choose another --results")  # fmt: skip
        self.runs: dict[str, dict[str, Any]] = stored.get("runs", {})
        self._lock = threading.Lock()

    def get(self, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what a run measured; run it if it has not been run yet."""
        if name not in self.runs:
            print(f"running {name} ...", file=sys.stderr, flush=True)
            found = run()
            with self._lock:
                self.runs[name] = found
                self._write()
        return self.runs[name]

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = {"setting": self.setting, "runs": self.runs}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.path)
