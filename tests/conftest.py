"""One thread, a cache of its own, and the toys visible to every process that tests start."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported

import pytest
import torch
from hubs import running as running

TOYS = Path(__file__).parent / "toys"


def pytest_configure():
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(TOYS), os.environ.get("PYTHONPATH", "")])
    )
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    os.environ["HUB_CORE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["HUB_CORE_CONFIG"] = str(tmp_path_factory.mktemp("config"))
