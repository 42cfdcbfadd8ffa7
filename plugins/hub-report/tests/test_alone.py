"""With no other plugin there is, a run of the core's toys gets its report and its picture."""

import pytest
from click.testing import CliRunner

import hub_core
from hub_core import manifest
from hub_core.card.pictures import picture
from hub_core.cli.root import hub
from hub_core.testing.surroundings import surrounded

PNG = b"\x89PNG\r\n\x1a\n"
RECIPE = {
    "backbone": "hub-testing:toy-stack",
    "tasks": {"mood": {"head": "hub-testing:toy-label"}},
    "strategies": ["hub-testing:toy-open"],
    "training": {"epochs": 2, "precision": "fp32", "threads": 1, "batch_examples": 8},
}
ROWS = [
    {"text": f"a {word} day {n}", "label": word} for n in range(20) for word in ("warm", "dull")
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of an artifact, the toys being on offer."""
    folder = tmp_path_factory.mktemp("alone") / "out"
    with surrounded((), folder.parent / "cache"):
        hub_core.train(RECIPE, ROWS, out=folder, prove=False)
        yield folder


def test_the_command_writes_a_page_that_shows_learning_and_mistakes(trained, tmp_path):
    done = CliRunner().invoke(hub, ["report", str(trained), "--out", str(tmp_path / "page")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page" / "report.html").read_text("utf-8")
    for title in ("Learning", "Confusion", "Labels", "Worst mistakes"):
        assert f">{title}</h" in page


def test_the_card_gets_a_picture(trained):
    assert picture(manifest.read(trained)).startswith(PNG)
