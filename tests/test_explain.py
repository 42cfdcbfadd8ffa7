"""What a head attends to is told by word, alike in any company, and shown as text and as a page."""

import html.parser
import io
import json
import re

import pytest
import tinymodels
import torch
import toydata
from sharing import NAME, hub, refused
from test_pull import commit

import hub_core
from hub_core.cli.explaining import echo_explained, pieces, plain
from hub_core.cli.explainpage import page
from hub_core.errors import IncompatibleError
from hub_core.explain import Explanation, Word, explain
from hub_core.testing.toys.backbones import LONGEST, ToyStack

HEAD = {"name": "attention-classification", "hops": 2}
TEXTS = ["a fine day", "it", "this film was very sour, the day was finest", "the the day the"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny model, an artifact that shows its attention, and one that has none."""
    root = tmp_path_factory.mktemp("explain")
    tinymodels.save("bert", root / "bert")
    for name, head in (
        ("out", HEAD),
        ("plain", "classification"),
        ("gem", {**HEAD, "pooling": "gem", "hops": 1}),
    ):
        values = tinymodels.recipe(
            root / "bert", head=head, strategies=["full"], learning_rate=1e-2
        )
        hub_core.train(values, toydata.labelled(32), out=root / name, prove=False)
    return root


@pytest.fixture(scope="module")
def predictor(folder):
    return hub_core.load(folder / "out")


def told(predictor, inputs):
    return explain(predictor, predictor.given(inputs))


# -- by word


def test_words_and_special_tokens_share_all_of_every_hop(predictor):
    for one in told(predictor, TEXTS):
        for hop in range(2):
            whole = sum(word.hops[hop] for word in one.words) + one.rest[hop]
            assert whole == pytest.approx(1, abs=1e-5)
        assert sum(w.weight for w in one.words) + one.elsewhere == pytest.approx(1, abs=1e-5)
        assert 0 < one.elsewhere < 1


def test_words_are_those_of_the_text_in_order(predictor):
    found = [[word.text for word in one.words] for one in told(predictor, TEXTS)]
    assert found[0] == ["a", "fine", "day"]
    assert " ".join(found[2]) == "this film was very sour , the day was finest"
    assert found[3] == ["the", "the", "day", "the"]


def test_a_word_gets_the_sum_of_its_pieces(predictor):
    model = predictor.model
    head, backbone = model.head("main"), model.backbone
    batch = head.collate(head.features([{"text": "a finest day"}], backbone), backbone)
    with torch.no_grad():
        weights = head.attention(model.encode(batch), batch)[0]  # [CLS] a fine s t day [SEP]
    [one] = told(predictor, ["a finest day"])
    expected = [weights[:, 1], weights[:, 2:5].sum(1), weights[:, 5]]
    assert [word.hops for word in one.words] == [
        pytest.approx(e.tolist(), abs=1e-6) for e in expected
    ]
    assert one.rest == pytest.approx((weights[:, 0] + weights[:, 6]).tolist(), abs=1e-6)
    assert one.words[1].weight == pytest.approx(expected[1].mean().item(), abs=1e-6)


def test_a_text_is_explained_alike_alone_and_beside_others(predictor):
    together = told(predictor, TEXTS)
    for text, one in zip(TEXTS, together, strict=True):
        [alone] = told(predictor, [text])
        assert [word.text for word in alone.words] == [word.text for word in one.words]
        for a, b in zip(alone.words, one.words, strict=True):
            assert a.hops == pytest.approx(b.hops, abs=1e-6)


def test_both_texts_of_a_pair_are_explained(predictor):
    [one] = told(predictor, [{"text": "a day", "pair": "it was a day"}])
    assert one.texts == ("a day", "it was a day")
    assert [(w.segment, w.text) for w in one.words] == [
        (0, "a"), (0, "day"), (1, "it"), (1, "was"), (1, "a"), (1, "day"),
    ]  # fmt: skip
    assert plain(one).count(" | ") == 1


def test_words_that_were_not_read_are_missing_and_it_is_said(predictor):
    [one] = told(predictor, ["day " * 60])
    assert one.truncated
    assert len(one.words) == tinymodels.LONGEST - 2
    assert plain(one).endswith("  [cut: later words were not read]")


def test_a_text_without_words_has_none():
    one = Explanation(("",), (), (1.0,), False)
    assert plain(one) == "  [special tokens 1.00]"
    assert list(pieces(one, 0)) == []


def test_toys_tell_their_words_for_plugins_that_are_tested_with_them():
    backbone = ToyStack(8)
    texts, pairs = ["a  day", "", "it " * 40], ["was it", "", "x"]
    for given in (None, pairs):
        tokens = backbone.tokenize(texts, given)
        words = backbone.words(texts, given)
        assert [len(found) for found in words] == [len(t.inputs["ids"]) for t in tokens]
    assert backbone.words(["a  day"], ["was it"]) == [
        [(0, 0, 1), (0, 3, 6), None, (1, 0, 3), (1, 4, 6)]
    ]
    assert len(backbone.words(["it " * 40])[0]) == LONGEST


# -- what cannot be explained


def test_a_head_without_attention_is_refused_and_one_with_it_is_named(folder):
    with pytest.raises(IncompatibleError) as caught:
        told(hub_core.load(folder / "plain"), TEXTS)
    assert caught.value.message == "task main: its head classification has no attention to show"
    assert caught.value.hint == (
        "train with a head that shows it, such as attention-classification"
    )


def test_a_head_whose_options_leave_no_attention_is_told_so(folder):
    with pytest.raises(IncompatibleError) as caught:
        told(hub_core.load(folder / "gem"), TEXTS)
    assert caught.value.message == (
        "task main: its head attention-classification has no attention to show"
    )
    assert caught.value.hint == "with its default options it has"


def test_a_backbone_that_cannot_tell_words_says_so():
    recipe = toydata.recipe(head=HEAD, strategies=["head-only"], epochs=1)
    result = hub_core.train(recipe, toydata.labelled(16))
    with pytest.raises(IncompatibleError) as caught:
        told(result.predictor, TEXTS)
    assert caught.value.message == (
        "a backbone of this kind cannot tell which words its positions are"
    )


def test_the_command_prints_nothing_where_there_is_no_attention(folder, capsys, tmp_path):
    place = tmp_path / "x.html"
    for how in (["--explain"], ["--explain", "--json"], ["--explain-html", place]):
        assert refused(capsys, "predict", folder / "plain", "a fine day", *how).endswith(
            "Error: task main: its head classification has no attention to show\n"
            "Hint: train with a head that shows it, such as attention-classification\n"
        )
    assert not place.exists()


# -- the command


def test_explain_prints_every_word_with_its_figure(folder, capsys):
    out, _ = hub(capsys, "predict", folder / "out", "--explain", "a fine  day", "it")
    label = r"(good|bad ?) +P"
    assert re.fullmatch(
        rf"{label}\n  a\(P\) fine\(P\) day\(P\)  \[special tokens P\]\n"
        rf"{label}\n  it\(P\)  \[special tokens P\]\n",
        re.sub(r"\d\.\d\d(\d\d)?", "P", out),
    )


def test_json_has_each_word_with_its_weight(folder, predictor, capsys):
    asked = ["predict", folder / "out", "--precision", "fp32", "--json", *TEXTS]
    rows = [json.loads(line) for line in hub(capsys, *asked, "--explain")[0].splitlines()]
    for row, one in zip(rows, told(predictor, TEXTS), strict=True):
        assert [word for word, _ in row["attention"]] == [word.text for word in one.words]
        weights = [weight for _, weight in row["attention"]]
        assert weights == pytest.approx([word.weight for word in one.words], abs=1e-5)
    without = [json.loads(line) for line in hub(capsys, *asked)[0].splitlines()]
    assert without == [{k: v for k, v in row.items() if k != "attention"} for row in rows]


def test_a_table_is_explained_too(folder, capsys, tmp_path):
    (tmp_path / "t.csv").write_text("text,label\na fine day,good\n", encoding="utf-8")
    out, _ = hub(capsys, "predict", folder / "out", "--explain", "--file", tmp_path / "t.csv")
    assert re.search(r"^  a\(0\.\d\d\) fine\(", out, re.MULTILINE)


def test_an_artifact_from_a_hub_is_explained_the_same_way(folder, running, capsys):
    commit(running, folder / "out", name=NAME)
    asked = ["--explain", *TEXTS, "--backbone", folder / "bert"]
    pulled, here = (hub(capsys, "predict", p, *asked) for p in (NAME, folder / "out"))
    assert pulled[0] == here[0]
    assert pulled[0].count("[special tokens") == len(TEXTS)


# -- in a terminal


@pytest.fixture
def terminal(monkeypatch):
    """Return what is printed where stdout is a terminal with colours."""

    def shown(explained, **environment):
        found = io.StringIO()
        found.isatty = lambda: True
        for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"TERM": "xterm-256color", "COLUMNS": "60", **environment}.items():
            monkeypatch.setenv(name, value)
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdout", found)
            echo_explained(explained)
        return found.getvalue()

    return shown


MADE = Explanation(
    ("Good, \x1b[2Jfilm <b>", "it"),
    (
        Word("Good", 0, 0, 4, (0.6, 0.2)),
        Word(",", 0, 4, 5, (0.02, 0.02)),
        Word("film", 0, 10, 14, (0.1, 0.3)),
        Word("it", 1, 0, 2, (0.0, 0.1)),
    ),
    (0.28, 0.38),
    False,
)


def test_a_terminal_shows_the_text_shaded_and_obeys_nothing_in_it(terminal):
    found = terminal(MADE)
    styles = dict(re.findall(r"\x1b\[([\d;]+)m([^\x1b]+)\x1b\[0m", found))
    shades = {text: style for style, text in styles.items() if "48;5" in style}
    assert set(shades) == {"Good", "film"}
    assert shades["Good"].startswith("1;")  # bold: the word that gets most
    assert shades["Good"].rpartition(";")[2] != shades["film"].rpartition(";")[2]
    assert re.sub(r"\x1b\[[\d;]+m", "", found).strip() == (
        "Good,  [2Jfilm <b> | it  [special tokens 0.33]"
    )


def test_no_color_gives_figures_in_a_terminal_too(terminal):
    assert terminal(MADE, NO_COLOR="1") == (
        "  Good(0.40) ,(0.02) film(0.20) | it(0.05)  [special tokens 0.33]\n"
    )


# -- as a page


class Page(html.parser.HTMLParser):
    """The texts of shaded words, all tags, and all attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self.text, self.cells = [], [], [], "", []
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self._open.append((tag, dict(attributes)))
        self.attributes.append(dict(attributes))

    def handle_endtag(self, tag):
        while self._open.pop()[0] != tag:  # tags that need no end
            continue

    def handle_data(self, data):
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag == "span" and "--w" in attributes.get("style", ""):
            self.words.append((data, float(attributes["style"].rpartition(":")[2])))
        if tag in ("td", "th"):
            self.cells.append(data)
        self.text += data if tag not in ("style", "title") else ""


def test_a_page_shades_words_by_weight_and_has_all_figures_as_text():
    found = Page(page("<out>", [MADE], [["good", "0.9"]]))
    assert found.words[:4] == [("Good", 1.0), (",", 0.05), ("film", 0.5), ("it", 0.125)]
    assert found.words[4:8] == [("Good", 1.0), (",", 0.033), ("film", 0.167), ("it", 0.0)]
    assert found.words[8:] == [("Good", 0.667), (",", 0.067), ("film", 1.0), ("it", 0.333)]
    assert found.cells[:8] == [
        "word",
        "weight",
        "hop 1",
        "hop 2",
        "Good",
        "0.4000",
        "0.6000",
        "0.2000",
    ]
    assert found.cells[-4:] == ["special tokens", "0.3300", "0.2800", "0.3800"]
    assert "What <out> attends to" in found.text
    assert "Good, \x1b[2Jfilm <b>" in found.text


def test_a_page_fetches_nothing_runs_nothing_and_escapes_everything():
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    word = Word(evil, 0, 0, len(evil), (1.0,))
    text = page(evil, [Explanation((evil,), (word,), (0.0,), False)], [[evil, evil]])
    found = Page(text)
    assert not {"script", "img", "link", "iframe"} & set(found.tags)
    assert not [key for one in found.attributes for key in one if key.startswith("on")]
    assert not [one for one in found.attributes if {"src", "href"} & set(one)]
    assert "default-src 'none'; style-src 'unsafe-inline'\"" in text
    assert "prefers-color-scheme: dark" in text


def test_a_page_says_which_end_was_not_read():
    cut = Explanation(("fine day out",), (Word("fine", 0, 0, 4, (0.5,)),), (0.5,), True)
    found = Page(page("out", [cut], [["good"]]))
    assert ("\N{SPACE}day out", 0.0) in found.words
    assert "The text is longer than what the model reads: the end was not read." in found.text


def test_a_page_lists_many_hops_closed_and_few_open():
    def opened(hops):
        one = Explanation(("a",), (Word("a", 0, 0, 1, (1.0,) * hops),), (0.0,) * hops, False)
        return [a for a in Page(page("out", [one], [["good"]])).attributes if "open" in a]

    assert [len(opened(hops)) for hops in (1, 2, 4, 5)] == [0, 1, 1, 0]


def test_the_command_writes_a_page_and_replaces_only_its_own(folder, capsys, tmp_path):
    place = tmp_path / "page.html"
    asked = ["predict", folder / "out", "--explain-html", place]
    for text in ("a fine day", "it was cold"):
        out, err = hub(capsys, *asked, text)
        assert err.endswith(f"Wrote {place}.\n")
        assert out.endswith(f"  {text}\n")
        assert [word for word, _ in Page(place.read_text("utf-8")).words[:3]] == text.split()
    place.write_text("something else", encoding="utf-8")
    assert refused(capsys, *asked, "a fine day").endswith(
        f"Error: {place} exists already, and is no page of 'hub predict'\n"
        "Hint: choose another name\n"
    )
    assert place.read_text("utf-8") == "something else"
