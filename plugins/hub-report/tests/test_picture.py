"""The picture of a card shows what hub.json holds, whatever it holds, and nothing else."""

import io
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from matplotlib.image import imread

from hub_core import manifest
from hub_core.card.pictures import GROUP, picture
from hub_core.manifest import TaskEntry
from hub_report import picture as drawn
from hub_report.picture import card_picture

KEPT = Path(__file__).parents[3] / "tests" / "data" / "artifacts" / "format-1"
SCORES = {"accuracy": 0.9, "macro_f1": 0.8, "matthews": -0.5}
NUMBERS = {"rmse": 12.5, "pearson": 0.75}


def entry(metrics, split="test", count=847):
    return TaskEntry(labels=["a", "b"], metrics={split: metrics}, examples={split: count})


def epochs(count, **tasks):
    """Return a history in which metrics rise and the last epoch but one is best."""
    return [
        {
            "loss": 1 / n,
            "validation": {
                t: {m: v * n / (n + 1) for m, v in ms.items()} for t, ms in tasks.items()
            },
            "best": n == count - 1,
        }
        for n in range(1, count + 1)
    ]


def made(history=(), **tasks):
    content = manifest.read(KEPT / "delta-lora")
    return content.model_copy(update={"tasks": tasks, "history": list(history)})


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn."""
    found = []
    monkeypatch.setattr(drawn, "png", lambda figure: found.append(figure) or b"")
    return found


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_several_epochs_give_curves_beside_the_results(figures):
    card_picture(made(epochs(4, main=SCORES), main=entry(SCORES)))
    [figure] = figures
    assert titles(figure) == ["training loss", "validation", "test, n = 847"]
    loss, validation, bars = figure.axes
    assert list(loss.lines[0].get_ydata()) == [1, 1 / 2, 1 / 3, 1 / 4]
    assert [line.get_label() for line in validation.lines] == [*SCORES, "best: epoch 3"]
    assert names(bars) == list(SCORES)
    assert texts(bars) == ["0.900", "0.800", "-0.500"]
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == [1, 0.9, 1, 0.8, 1, -0.5]  # the whole range, then the value


def test_one_epoch_gives_the_results_alone(figures):
    card_picture(made(epochs(1, main=SCORES), main=entry(SCORES)))
    assert titles(figures[0]) == ["test, n = 847"]


def test_a_metric_beyond_one_is_a_number_without_a_bar(figures):
    card_picture(made(epochs(3, main=NUMBERS), main=entry(NUMBERS, "validation", 36)))
    _, validation, bars = figures[0].axes
    assert bars.get_title(loc="left") == "validation, n = 36"
    assert (names(bars), texts(bars)) == (["rmse", "pearson"], ["12.500", "0.750"])
    assert [bar.get_width() for bar in bars.patches] == [1, 0.75]
    assert [line.get_label() for line in validation.lines] == ["pearson", "best: epoch 2"]


def test_several_tasks_have_headings_and_a_curve_each(figures):
    tasks = {"mood": SCORES, "stars of $x$": NUMBERS}
    card_picture(made(epochs(3, **tasks), **{name: entry(found) for name, found in tasks.items()}))
    _, validation, bars = figures[0].axes
    assert [line.get_label() for line in validation.lines] == [
        "mood accuracy", r"stars of \$x\$ pearson", "best: epoch 2",
    ]  # fmt: skip
    assert list(zip(names(bars), texts(bars), strict=True)) == [
        ("mood", "test, n = 847"), ("accuracy", "0.900"), ("macro_f1", "0.800"),
        ("matthews", "-0.500"), (r"stars of \$x\$", "test, n = 847"), ("rmse", "12.500"),
        ("pearson", "0.750"),
    ]  # fmt: skip


def test_of_many_tasks_and_metrics_as_many_are_shown_as_fit(figures):
    tasks = {f"task{n}": entry({f"m{k}": 0.5 for k in range(30)}) for n in range(9)}
    card_picture(made(**tasks))
    assert texts(figures[0].axes[0])[-1] == "and 4 more tasks"
    card_picture(made(main=tasks["task0"]))
    assert len(names(figures[1].axes[0])) == 9


def test_where_nothing_was_measured_there_is_no_picture():
    assert card_picture(made()) is None
    assert card_picture(made(main=TaskEntry(labels=["a"]))) is None


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (made(epochs(40, main=SCORES), main=entry(SCORES)), (1088, 459)),
        (made(epochs(5, main=NUMBERS), main=entry(NUMBERS)), (1088, 459)),
        (made(main=entry(SCORES)), (1088, 290)),
        (made(**{"$a$ <b>\n" * 9: entry({"<c> $d" * 9: 0.5}), "e": entry(SCORES)}), None),
    ],
    ids=["epochs", "numbers", "results", "hostile"],
)
def test_a_picture_is_a_small_png_on_a_light_ground(content, size):
    data = card_picture(content)
    image = imread(io.BytesIO(data))
    assert size in (None, (image.shape[1], image.shape[0]))
    assert len(data) < 150_000
    assert (image[0, 0, :3] > 0.95).all()


def test_nothing_of_a_picture_is_cut_off(figures):
    long = {"a very long name of a task indeed": entry(SCORES, "validation", 1_234_567)}
    content = made(epochs(40, **dict.fromkeys(long, SCORES)), **long, other=entry(SCORES))
    card_picture(content)
    [figure] = figures
    figure.draw_without_rendering()
    shown = [*figure.axes, *figure.legends]
    boxes = [artist.get_tightbbox() for artist in shown]
    assert len(boxes) == 4
    for box in boxes:
        assert figure.bbox.x0 - 1 <= box.x0 < box.x1 <= figure.bbox.x1 + 1
        assert figure.bbox.y0 - 1 <= box.y0 < box.y1 <= figure.bbox.y1 + 1


def test_the_core_finds_the_picture_by_its_entry_point():
    [point] = metadata.entry_points(group=GROUP)
    assert (point.name, point.value) == ("report", "hub_report.picture:card_picture")
    assert picture(made(main=entry(SCORES))).startswith(b"\x89PNG")


def test_drawing_needs_no_torch_and_no_display():
    code = (
        "import sys; from pathlib import Path; from hub_core import manifest;"
        "from hub_report.picture import card_picture;"
        "drawn = card_picture(manifest.read(Path(sys.argv[1])));"
        "print(drawn[:4], 'torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(KEPT / "delta-lora")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "b'\\x89PNG' False False\n"
