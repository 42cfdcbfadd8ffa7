"""Reports: one file without a network, whatever is in the data, and figures that are right."""

import json
import re
import shutil
import subprocess
import sys
import webbrowser
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import toydata
from click.testing import CliRunner

import hub_core
from hub_core import manifest, predictions
from hub_core.cli.root import hub
from hub_core.errors import DataError, FormatError
from hub_core.predictions import Judged
from hub_report import measures
from hub_report.command import report
from hub_report.curves import loss_figure, metrics_figure
from hub_report.drawing import png, svg
from hub_report.gather import Epoch, Evidence, from_run, history_of
from hub_report.labels import confusion_figure, reliability_figure, shown_labels
from hub_report.measures import Estimate, Outcome
from hub_report.numbers import MANY, residuals_figure, scatter_figure
from hub_report.page import page
from hub_report.sections import learning_charts, section_of, trust
from hub_report.terminal import lines
from hub_report.theme import COLORS, short

HOSTILE = "<script>alert(1)</script>"
PNG = b"\x89PNG\r\n\x1a\n"


def hostile(rows):
    """Return rows with markup in texts and in a label."""
    return [
        {
            "text": f"{HOSTILE} & {row['text']} $x$",
            "label": {"bad": HOSTILE}.get(row["label"], "$y"),
        }
        for row in rows
    ]


DATA = {
    "mood": hostile(toydata.labelled(120)),
    "stars": toydata.scored(120),
    "words": toydata.tagged(60),
}
TASKS = {
    "mood": {"head": "classification"},
    "stars": {"head": "regression"},
    "words": {"head": "toy-tags", "test": 0},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An artifact of three tasks, hardly trained, so that there are mistakes."""
    folder = tmp_path_factory.mktemp("report") / "three"
    values = toydata.recipe(strategies=["head-only"], epochs=2) | {"tasks": TASKS}
    hub_core.train(values, DATA, out=folder, prove=False)
    return folder


def run(*arguments):
    return CliRunner().invoke(report, [*map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """A report's folder, and what was printed."""
    out = tmp_path_factory.mktemp("written") / "r"
    done = run(trained, "--out", out)
    assert done.exit_code == 0
    return out, done.stdout


# -- the page


class Reader(HTMLParser):
    """Collects tags, texts, and every place that could fetch something."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.fetched, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            local = value is None or value.startswith(("#", "data:"))
            if name in ("src", "href", "srcset", "data", "action", "poster") and not local:
                self.fetched.append(value)

    def handle_data(self, data):
        self.texts.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    return reader


@pytest.fixture(scope="module")
def html(written):
    return (written[0] / "report.html").read_text("utf-8")


def test_the_page_fetches_nothing(html):
    assert read(html).fetched == []
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(read(html).tags)
    assert re.findall(r"@import|url\((?!#)|@font-face", html) == []
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html


def test_texts_and_labels_are_shown_as_they_are_and_never_run(html):
    assert "<script" not in html
    shown = "".join(read(html).texts)
    assert f"{HOSTILE} & " in shown
    assert shown.count(HOSTILE) >= 5
    assert " $x$" in shown


def test_labels_in_figures_are_no_formulas(html):
    assert re.search(r"<text[^>]*>\$y</text>", html)


def test_each_task_has_a_section_and_a_link(html):
    for name in TASKS:
        assert f"<section id='task-{name}'><h2>Task {name}</h2>" in html
        assert f"<a href='#task-{name}'>{name}</a>" in html
    for title in ("Learning", "Validation of mood", "Confusion", "Reliability", "Labels",
                  "Worst mistakes", "Predicted and true", "Residuals", "Furthest off"):  # fmt: skip
        assert f">{title}</h" in html


def test_ids_differ_and_every_reference_has_one(html):
    ids = read(html).ids
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)
    assert set(re.findall(r"href=[\"']#([^\"']+)[\"']", html)) <= set(ids)


def test_light_and_dark_have_every_colour_of_the_figures(html):
    light, dark = re.search(r":root \{([^}]*)\}\n@media \(prefers-color-scheme: dark\) \{ :root "
                            r"\{([^}]*)\}", html).groups()  # fmt: skip
    for name in set(re.findall(r"var\(--(\w+)\)", html)):
        assert f"--{name}: {COLORS[name][0]};" in light
        assert f"--{name}: {COLORS[name][1]};" in dark
    fixed = {c for found in re.findall(r'style="([^"]*)"', html)
             for c in re.findall(r"#[0-9a-f]{6}\b", found)}  # fmt: skip
    assert fixed <= {"#ffffff"}  # on the strong cells of a matrix, in both


def test_every_figure_is_a_png_beside_the_page(written):
    folder, _ = written
    assert {path.name for path in folder.iterdir()} == {
        "report.html", "loss.png", "mood.validation.png", "stars.validation.png",
        "words.validation.png", "mood.confusion.png", "mood.reliability.png", "stars.scatter.png",
        "stars.residuals.png", "words.confusion.png",
    }  # fmt: skip
    assert all(path.read_bytes().startswith(PNG) for path in folder.glob("*.png"))


def test_the_same_run_gives_the_same_report(trained, written, tmp_path):
    run(trained, "--out", tmp_path / "again")
    for path in written[0].iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_a_report_without_predictions_of_a_kind_we_know_has_its_metrics(tmp_path):
    values = toydata.recipe(backbone="toy-decoder", head="toy-generate", strategies=["full"])
    hub_core.train(values, toydata.continued(), out=tmp_path / "out", prove=False)
    assert run(tmp_path / "out").exit_code == 0
    text = (tmp_path / "out.report" / "report.html").read_text("utf-8")
    assert "<dt>exact</dt>" in text
    assert "Confusion" not in text


# -- the terminal


def test_the_terminal_shows_the_short_form(written, trained):
    folder, told = written
    metrics = manifest.read(trained).tasks["mood"].metrics["test"]
    assert told.startswith("mood: 12 examples of test\n")
    assert f"  accuracy {metrics['accuracy']:.4f}  macro_f1 " in told
    assert re.search(r"^  calibration error \(ECE\) 0\.\d{4}; right \d+\.\d points (more|less) "
                     r"often than its probability says$", told, re.M)  # fmt: skip
    assert re.search(r"^words: \d+ examples of validation$", told, re.M)
    assert re.search(r"^  furthest off\n(    -?\d.*\n){5}", told, re.M)
    assert told.endswith(
        f"report: {folder / 'report.html'}\n"
        "figures: loss.png, mood.validation.png, stars.validation.png, words.validation.png, "
        "mood.confusion.png, mood.reliability.png, stars.scatter.png, stars.residuals.png, "
        "words.confusion.png\n"
    )


def test_the_worst_five_mistakes_are_told_the_surest_first():
    rows = [judged(f"text {n}\x1b[2J\n", "a", "b", 0.5 + n / 100) for n in range(8)]
    told = list(lines(section_of(Evidence("main", "test", ["a", "b"], rows, {"accuracy": 0.0}))))
    assert told[3:] == [
        "  worst mistakes",
        *(f"    b  0.5{n}00  is a  text {n} [2J" for n in (7, 6, 5, 4, 3)),
    ]


def test_no_mistakes_are_told_too():
    rows = [judged("text", "a", "a", 0.9)]
    section = section_of(Evidence("main", "test", ["a", "b"], rows, {"accuracy": 1.0}))
    assert list(lines(section))[-1] == "  no mistakes"


def test_json_has_the_figures_and_the_files(trained, tmp_path):
    found = json.loads(run(trained, "--out", tmp_path / "r", "--json", "--task", "mood").stdout)
    mood = found["tasks"]["mood"]
    assert (mood["source"], mood["examples"], list(found["tasks"])) == ("test", 12, ["mood"])
    assert 0 <= mood["ece"] <= 1
    assert set(mood["mistakes"][0]) == {"text", "truth", "prediction", "probability"}
    assert all(Path(name).is_file() for name in found["files"])


def test_the_report_opens_in_a_browser(trained, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda place: opened.append(place) or True)
    line = (trained, "--out", tmp_path / "r", "--task", "words", "--open")
    assert run(*line).stderr == ""
    assert opened == [(tmp_path / "r" / "report.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    page = tmp_path / "r" / "report.html"
    assert run(*line).stderr == (f"No browser could be started; open {page} yourself.\n")


def test_hub_finds_the_command_and_a_kept_run_needs_no_torch(trained, tmp_path):
    assert hub.get_command(None, "report") is report
    code = (
        "import sys; from hub_core.cli import main; code = main(sys.argv[1:]);"
        "print(code, 'torch' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "report", str(trained), "--out", str(tmp_path / "r"),
               "--task", "words"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[-1] == "0 False False"


# -- where the predictions come from


def copied(trained, tmp_path):
    """Return a copy of the artifact without its run."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def test_without_predictions_one_sentence_says_what_to_do(trained, tmp_path):
    folder = copied(trained, tmp_path)
    with pytest.raises(DataError) as caught:
        run(folder)
    assert caught.value.message == (
        f"there are no predictions beside {folder}, in {tmp_path / 'copy.run'}"
    )
    assert caught.value.hint == f"give labelled data: hub report {folder} --data FILE"


def test_data_are_evaluated_with_the_artifact(trained, tmp_path):
    folder = copied(trained, tmp_path)
    path = tmp_path / "new.jsonl"
    rows = [{"review": row["text"], "label": row["label"]} for row in DATA["mood"][:40]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run(folder, "--data", path, "--task", "mood", "--column", "text=review", "--json")
    found = json.loads(done.stdout)["tasks"]["mood"]
    metrics, count = hub_core.load(folder).evaluate(
        str(path), task="mood", columns={"text": "review"}
    )
    assert (found["source"], found["examples"]) == ("new.jsonl", count)
    assert found["metrics"] == pytest.approx(metrics)
    text = (tmp_path / "copy.report" / "report.html").read_text("utf-8")
    assert "On new.jsonl: 40 examples." in text
    assert ">Validation of mood</h3>" in text


def test_data_for_several_tasks_ask_which(trained, tmp_path):
    path = tmp_path / "new.jsonl"
    path.write_text("{}")
    with pytest.raises(DataError, match=r"^this model has several tasks$"):
        run(trained, "--data", path)


def test_an_unknown_task_names_the_nearest(trained):
    with pytest.raises(DataError, match=r"^this model has no task 'moods'$") as caught:
        run(trained, "--task", "moods")
    assert caught.value.hint == "did you mean 'mood'?"


def test_a_column_reads_role_and_name(trained):
    done = run(trained, "--data", "a.csv", "--column", "text")
    assert done.exit_code == 2
    assert "Error: --column text: must read ROLE=NAME" in done.stderr


def test_predictions_of_another_run_are_refused(trained, tmp_path):
    folder = copied(trained, tmp_path)
    other = predictions.run_folder(folder)
    other.mkdir()
    predictions.write(other, "mood", [judged("text", "a", "b", 0.5)])
    with pytest.raises(DataError) as caught:
        run(folder)
    assert caught.value.message == (
        f"{other / 'predictions.mood.jsonl'} has predictions of another run: it has 1 examples, "
        "the artifact was measured on 12"
    )


def test_a_task_without_held_out_examples_says_so(trained, tmp_path):
    folder = copied(trained, tmp_path)
    run_folder = shutil.copytree(predictions.run_folder(trained), predictions.run_folder(folder))
    predictions.place(Path(run_folder), "stars").unlink()
    assert "\nstars: no examples were held out\n" in run(folder).stdout
    text = (tmp_path / "copy.report" / "report.html").read_text("utf-8")
    assert "No examples were held out, so nothing was predicted." in text


def test_a_task_whose_name_leads_elsewhere_is_refused(trained):
    content = manifest.read(trained)
    tasks = {"../../evil": content.tasks["mood"]}
    with pytest.raises(FormatError) as caught:
        from_run(trained, content.model_copy(update={"tasks": tasks}))
    assert caught.value.message == (
        "the artifact has a task named '../../evil', which no recipe allows"
    )


def test_an_artifact_without_history_is_reported_on(trained):
    content = manifest.read(trained).model_copy(update={"history": []})
    subject = from_run(trained, content)
    told = "The artifact keeps no learning history: it was saved by an older hub-core."
    assert learning_charts(subject) == []
    assert told in page(subject, [], [])


def test_history_from_a_file_is_not_trusted(trained):
    entries = [{"loss": "high", "validation": {"a": {"f1": None, "x": 0.5, "b": True}}, "best": 1},
               {"loss": None, "validation": [1], "stage": 3}]  # fmt: skip
    content = manifest.read(trained).model_copy(update={"history": entries})
    assert history_of(content) == [
        Epoch(1, "", None, {"a": {"x": 0.5}}),
        Epoch(2, "3", None, {}),
    ]


# -- files


def test_a_folder_with_something_else_is_refused(trained, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError) as caught:
        run(trained, "--out", tmp_path)
    assert caught.value.message == f"{tmp_path} exists and is no report"
    assert caught.value.hint == "choose another folder for --out"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_older_report_is_replaced_and_other_files_stay(trained, tmp_path):
    run(trained, "--out", tmp_path, "--task", "words")
    (tmp_path / "notes.png").write_bytes(b"mine")
    run(trained, "--out", tmp_path, "--task", "stars")
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes.png", "report.html", "loss.png", "stars.validation.png", "stars.scatter.png",
        "stars.residuals.png",
    }  # fmt: skip


def test_a_place_that_cannot_be_written_is_told(trained, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError) as caught:
        run(trained, "--out", tmp_path / "file" / "r")
    assert caught.value.message == f"{tmp_path / 'file' / 'r'} cannot be written: Not a directory"


# -- measures


def judged(text, truth, guess, probability=None):
    prediction = {"label": guess, "probability": probability, "probabilities": {}}
    return Judged("test", {"text": text}, {"label": truth}, prediction)


def sure(*pairs):
    """Return outcomes from (probability, whether right)."""
    return [Outcome("", "a", "a" if right else "b", p) for p, right in pairs]


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
    found = measures.calibration(sure((0.9, True), (0.9, False), (0.6, True), (0.6, True)), bins=10)
    assert found.error == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    assert found.excess == pytest.approx(0.75 - 0.75)
    full = [b for b in found.bins if b.count]
    assert [(b.low, b.high, b.count) for b in full] == [(0.5, 0.6, 2), (0.8, 0.9, 2)]
    assert trust(found) == (
        "Expected calibration error (ECE) 0.400 over 10 bins. "
        "On average it is right as often as its probability says."
    )


def test_there_are_15_bins_each_with_its_upper_edge():
    edges = [number / 15 for number in range(16)]
    found = measures.calibration(sure(*((p, True) for p in edges)))
    assert [b.count for b in found.bins] == [2, *[1] * 14]


def test_a_model_that_is_always_right_and_sure_has_no_error():
    assert measures.calibration(sure((1.0, True), (1.0, True))).error == 0


def test_without_probabilities_there_is_no_calibration():
    assert measures.calibration([Outcome("", "a", "a")]) is None
    assert measures.calibration([]) is None


def test_scores_of_labels_are_those_of_scikit_learn():
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    rows = [(f"{i % 3}", f"{i * i % 4}") for i in range(40)]
    outcomes = [Outcome("", truth, guess) for truth, guess in rows]
    names = measures.labels_in(outcomes, ["2", "never"])
    assert names == ["2", "never", "0", "1"]
    truth, guess = zip(*rows, strict=True)
    expected = precision_recall_fscore_support(truth, guess, labels=names, zero_division=0.0)
    found = measures.label_scores(outcomes, names)
    for number, key in enumerate(("precision", "recall", "f1", "support")):
        assert [getattr(score, key) for score in found] == pytest.approx(list(expected[number]))
    matrix = confusion_matrix(truth, guess, labels=names).tolist()
    assert measures.confusion(outcomes, names) == matrix


def test_mistakes_are_the_surest_wrong_predictions():
    outcomes = [Outcome("x", "a", "b", 0.7), Outcome("y", "a", "a", 0.99),
                Outcome("z", "b", "a", 0.9), Outcome("w", "b", "a", 0.6)]  # fmt: skip
    assert [o.text for o in measures.mistakes(outcomes, 2)] == ["z", "x"]
    assert measures.confused(outcomes) == [("b", "a", 2), ("a", "b", 1)]


def test_numbers_furthest_off_come_first():
    found = [Estimate("x", 1.0, 1.5), Estimate("y", 1.0, -1.0), Estimate("z", 2.0, 3.0)]
    assert [(e.text, e.error) for e in measures.misses(found, 2)] == [("y", -2.0), ("z", 1.0)]


def test_a_number_that_is_none_is_left_out():
    rows = [Judged("test", {"text": "x"}, {"score": 1.0}, {"score": float("nan")})]
    assert measures.estimates_of(rows) == []


# -- figures


def test_a_matrix_is_readable_for_2_and_for_50_labels():
    for count in (2, 50):
        labels = [f"a rather long name of label {n}" for n in range(count)]
        outcomes = [Outcome("", label, label) for label in labels]
        figure = confusion_figure(outcomes, labels)
        figure.draw_without_rendering()
        [axes] = figure.axes
        cell = axes.get_window_extent().width / count / figure.dpi
        assert cell >= 0.19  # inches
        names = axes.get_yticklabels()
        boxes = [name.get_window_extent() for name in names]
        assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))
        assert all(box.x0 >= 0 for box in boxes)
        assert {t.get_text() for t in axes.texts} >= ({"100 %\n1", "0"} if count == 2 else {"1"})


def test_a_matrix_of_many_labels_shows_those_with_mistakes():
    labels = [f"{n}" for n in range(80)]
    outcomes = [Outcome("", "79", "40")] + [Outcome("", label, label) for label in labels]
    shown = shown_labels(outcomes, labels)
    assert len(shown) == 50
    assert {"79", "40"} <= set(shown)
    section = section_of(Evidence("main", "test", labels, [judged("", o.truth, o.guess)
                                                           for o in outcomes]))  # fmt: skip
    assert section.charts[0].caption.endswith(
        "Shown are the 50 of 80 labels with the most mistakes."
    )


def test_long_names_keep_both_ends():
    assert short("exchange_rate_pending", 11) == "excha…nding"
    assert short("short", 11) == "short"


EPOCHS = [
    Epoch(n, "probe" if n < 3 else "encoder", 1 / n, {"main": {"f1": n / 9, "rmse": 9.0 - n}},
          best=n == 4)
    for n in range(1, 6)
]  # fmt: skip


def test_curves_mark_stages_and_the_best_epoch():
    figure = loss_figure(EPOCHS)
    [axes] = figure.axes
    assert [text.get_text() for text in axes.texts] == ["probe", "encoder"]
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["training loss"].get_ydata()) == [1 / n for n in range(1, 6)]
    assert list(lines["best: epoch 4"].get_xdata()) == [4, 4]


def test_metrics_of_other_scales_have_panels_of_their_own():
    figure = metrics_figure(EPOCHS, "main")
    assert [[line.get_label() for line in axes.lines] for axes in figure.axes] == [
        ["f1", "best: epoch 4"], ["rmse", "best: epoch 4"],
    ]  # fmt: skip
    assert metrics_figure(EPOCHS, "other") is None
    assert loss_figure([]) is None


def test_a_figure_is_drawn_for_one_example_and_for_thousands():
    one = [Estimate("", 1.0, 1.0)]
    many = [Estimate("", n / 7, n % 90 / 8) for n in range(MANY + 1)]
    for estimates in (one, many):
        for draw in (scatter_figure, residuals_figure):
            assert png(draw(estimates)).startswith(PNG)
            assert len(svg(draw(estimates), "a", "label")) < 400_000
    assert png(reliability_figure(measures.calibration(sure((0.0, True))))).startswith(PNG)


def test_a_figure_tells_what_it_shows_to_those_who_do_not_see_it():
    text = svg(loss_figure(EPOCHS), "loss", 'Loss "by" <epoch>')
    assert text.startswith("<svg ")
    assert 'role="img"' in text
    assert 'aria-label="Loss &quot;by&quot; &lt;epoch&gt;"' in text
    assert "DejaVu" not in text
    assert "xmlns" not in text
