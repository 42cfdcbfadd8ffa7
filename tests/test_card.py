"""Cards: the Hub finds the model by them, people can use what they show, and nothing escapes."""

import contextlib
import copy
import io
import logging
import re
import tomllib
from importlib import metadata
from pathlib import Path

import huggingface_hub
import pytest
import quick
import tinymodels
import torch
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

import hub_core
from hub_core import manifest
from hub_core.card import Published, facts, pictures, write_card
from hub_core.card.body import MARK
from hub_core.card.escape import cell, code, plain, word
from hub_core.cli import main
from hub_core.declare import Method
from hub_core.errors import FormatError, RecipeError, RemoteError
from hub_core.evaluate import run
from hub_core.manifest import Manifest
from hub_core.recipe import parse
from hub_core.rows import rows_of
from hub_core.tomltext import recipe_toml, toml

KEPT = Path(__file__).parent / "data" / "artifacts" / "format-1"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "ada/tiny"
PUBLISHED = Published(NAME, license="apache-2.0", languages=("en", "no"))


def kept(name, hint=f"acme/bert@{COMMIT}", **changes):
    """Return the manifest of an artifact of every kind, its backbone on the Hub."""
    content = manifest.read(KEPT / name)
    backbone = content.backbone.model_copy(update={"hint": hint})
    return content.model_copy(update={"backbone": backbone, **changes})


def with_data(content, **values):
    """Return a manifest whose only task names its data."""
    recipe = copy.deepcopy(content.recipe)
    recipe["tasks"]["main"] |= values
    return content.model_copy(update={"recipe": recipe})


def front(card):
    return yaml.safe_load(re.match(r"---\n(.*?\n)---\n", card, re.S)[1])


def section(card, title):
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0].strip()


def blocks(card, language):
    return re.findall(rf"^```{language}\n(.*?)\n```$", card, re.M | re.S)


# -- front matter


def test_the_front_matter_is_what_the_hub_searches_by():
    content = with_data(kept("delta-lora"), data="data/movies.csv")
    assert write_card(content, PUBLISHED).split("\n\n#")[0] == (
        f"""---
license: apache-2.0
language:
- en
- 'no'
base_model: acme/bert
base_model_relation: adapter
library_name: peft
pipeline_tag: text-classification
tags:
- hub-core
- classification
- lora
model-index:
- name: tiny
  results:
  - task:
      type: text-classification
      name: main
    dataset:
      name: movies.csv
      type: movies.csv
      split: validation
      args:
        n: 8
    metrics:
    - type: accuracy
      value: {content.tasks["main"].metrics["validation"]["accuracy"]}
      name: accuracy
    - type: macro_f1
      value: {round(content.tasks["main"].metrics["validation"]["macro_f1"], 6)}
      name: macro_f1
    - type: matthews
      value: {round(content.tasks["main"].metrics["validation"]["matthews"], 6)}
      name: matthews
---"""
    )


ARTIFACTS = sorted(path.parent.name for path in KEPT.glob("*/hub.json"))


@pytest.mark.parametrize("name", ARTIFACTS)
def test_the_client_of_the_hub_reads_the_front_matter_and_writes_the_same(name):
    card = write_card(kept(name), PUBLISHED)
    read = ModelCard(card, ignore_metadata_errors=False)
    assert read.data.to_dict() == front(card)
    assert ModelCard(str(read)).data.to_dict() == front(card)
    assert read.data.base_model == "acme/bert"


def test_results_are_those_of_the_manifest_with_split_and_number_of_examples():
    content = kept("two-tasks")
    found = ModelCard(write_card(content, PUBLISHED)).data.eval_results
    told = [(r.task_name, r.dataset_split, r.dataset_args, r.metric_type, r.metric_value)
            for r in found]  # fmt: skip
    assert told == [
        (task, split, {"n": 8}, metric, round(value, 6))
        for task, entry in content.tasks.items()
        for split, metrics in entry.metrics.items()
        for metric, value in metrics.items()
    ]
    assert len(told) == 6
    assert {r.verified for r in found} == {None}


@pytest.mark.parametrize(
    ("name", "library", "relation"),
    [
        ("delta-lora", "peft", "adapter"),
        ("head-only", "hub-core", "adapter"),
        ("toy-prefix", "hub-core", "adapter"),
        ("whole-plain", "transformers", "finetune"),
        ("whole-int8", "hub-core", "quantized"),
        ("toy-shrink", "hub-core", "finetune"),
    ],
)
def test_library_and_relation_follow_from_files_and_form(name, library, relation):
    found = front(write_card(kept(name), PUBLISHED))
    assert (found["library_name"], found["base_model_relation"]) == (library, relation)


def test_a_compressor_that_is_not_installed_leaves_the_model_fine_tuned():
    content = kept("whole-int8")
    recipe = content.recipe | {"compressors": [{"name": "never-heard-of"}]}
    found = front(write_card(content.model_copy(update={"recipe": recipe}), PUBLISHED))
    assert found["base_model_relation"] == "finetune"


def test_without_a_place_on_the_hub_no_base_is_claimed():
    found = front(write_card(kept("delta-lora", hint=""), PUBLISHED))
    assert not {"base_model", "base_model_relation"} & set(found)
    found = front(write_card(kept("delta-lora", hint="/home/me/model"), PUBLISHED))
    assert "base_model" not in found


def test_what_is_not_known_is_left_out():
    content = kept("head-only", hint="", tasks={})
    assert list(front(write_card(content, Published(NAME)))) == ["library_name", "tags"]


def test_data_sets_are_those_of_the_author_and_of_the_recipe():
    content = with_data(kept("delta-lora"), data="hub:acme/films/large#train", validation="v.csv")
    published = Published(NAME, datasets=("ada/mine", "acme/films"))
    found = front(write_card(content, published))
    assert found["datasets"] == ["ada/mine", "acme/films"]
    [result] = found["model-index"][0]["results"]
    assert result["dataset"] == {
        "name": "v.csv", "type": "v.csv", "split": "validation", "args": {"n": 8}
    }  # fmt: skip
    [result] = front(write_card(with_data(content, validation=0.1), published))["model-index"][0][
        "results"
    ]
    assert result["dataset"] == {
        "name": "acme/films", "type": "acme/films", "config": "large", "split": "validation",
        "args": {"n": 8},
    }  # fmt: skip


def test_no_path_of_data_is_published():
    content = with_data(kept("delta-lora"), data=["C:\\Users\\ada\\a.csv", "secret/b.csv"])
    card = write_card(content, PUBLISHED)
    assert front(card)["model-index"][0]["results"][0]["dataset"]["name"] == "a.csv, b.csv"
    assert "ada\\a" not in card.split("## Recipe")[0]


def test_the_head_says_what_the_hub_calls_its_task(monkeypatch):
    own = Method(name="own", summary="One", factory="a:B", options="a:B",
                 pipeline_tag="sentence-similarity")  # fmt: skip
    monkeypatch.setattr(facts, "method_of", lambda *_: own)
    card = write_card(kept("delta-lora"), PUBLISHED)
    assert front(card)["pipeline_tag"] == "sentence-similarity"


def test_a_task_that_the_hub_has_no_word_for_is_in_the_body_alone(monkeypatch):
    monkeypatch.setattr(facts, "method_of", lambda *_: None)
    card = write_card(kept("delta-lora"), PUBLISHED)
    assert not {"pipeline_tag", "model-index"} & set(front(card))
    assert "| `main` | validation | 8 |" in section(card, "Results")


# -- body


def test_the_first_paragraph_says_what_it_is():
    card = write_card(kept("delta-pruned"), PUBLISHED)
    content = manifest.read(KEPT / "delta-pruned")
    size = sum(file.size for file in content.files.values())
    assert card.split("\n\n")[1:3] == [
        "# tiny",
        "This model predicts one label for a text or a pair of texts, out of `bad` and `good`. It "
        "needs the backbone `acme/bert`, which is fetched beside it. 7,234 of 21,699 (33 %) "
        "parameters were trained with `lora`, then it was compressed with `prune-magnitude`. What "
        f"is published takes {size / 1000:.3g} kB.",
    ]


def test_a_model_of_several_tasks_says_each():
    card = write_card(kept("two-tasks"), PUBLISHED)
    assert (
        "This model has 2 tasks. Task `mood`: one label for a text or a pair of texts, out of "
        "`bad` and `good`. Task `topic`: one label for a text or a pair of texts, out of `day`, "
        "`film` and `none`. It needs"
    ) in card
    assert blocks(card, "console") == [
        'hub predict ada/tiny --task mood "A text"\nhub predict ada/tiny --task topic "A text"'
    ]


def test_results_data_and_files_are_tables():
    content = with_data(kept("delta-lora"), data="movies.csv")
    card = write_card(content, PUBLISHED)
    entry = content.tasks["main"]
    accuracy, f1, matthews = entry.metrics["validation"].values()
    assert section(card, "Results") == (
        "| task | split | n | accuracy | macro_f1 | matthews |\n"
        "| --- | --- | --: | --: | --: | --: |\n"
        f"| `main` | validation | 8 | {accuracy:.4f} | {f1:.4f} | {matthews:.4f} |"
    )
    assert section(card, "Data") == (
        "| task | split | from | fingerprint | n |\n| --- | --- | --- | --- | --: |\n"
        f"| `main` | train | `movies.csv` | `{entry.data['train'][:16]}` | 40 |\n"
        f"| `main` | validation | `movies.csv` | `{entry.data['validation'][:16]}` | 8 |\n\n"
        "Columns of `main`: `text` as text, `label` as label."
    )
    proof = section(card, "Proof and files")
    for name, file in content.files.items():
        assert f"| `{name}` | `{file.sha256[:16]}` | " in proof


HISTORY = [
    {"loss": 1.5, "validation": {"main": {"accuracy": 0.25}}},
    {"loss": None, "validation": {"main": {"accuracy": 0.5}}, "best": True},
    {"loss": "high", "validation": [1]},
]


def test_epochs_are_a_table_where_there_is_no_picture():
    content = kept("delta-lora", history=HISTORY)
    assert section(write_card(content, PUBLISHED), "Results").split("\n\n")[1:] == [
        "| epoch | loss | accuracy |\n| --: | --: | --: |\n| 1 | 1.5000 | 0.2500 |\n"
        "| **2** | - | 0.5000 |\n| 3 | - | - |",
        "Validated after each epoch; the model of the marked one was kept.",
    ]
    drawn = write_card(content, Published(NAME, plot="results 1.png"))
    assert section(drawn, "Results").split("\n\n")[1:] == [
        "![Loss and metrics by epoch, and held-out results](results%201.png)"
    ]


def test_many_epochs_are_thinned_out_and_the_best_stays():
    history = [{"loss": 1.0, **({"best": True} if n == 7 else {})} for n in range(1, 101)]
    lines = section(write_card(kept("delta-lora", history=history), PUBLISHED), "Results")
    places = re.findall(r"^\| (\S+) \| 1.0000 \|$", lines, re.M)
    assert places == ["5", "**7**", *map(str, range(10, 101, 5))]


def test_limits_say_only_what_the_manifest_supports():
    content = kept("whole-int8", history=HISTORY)
    assert section(write_card(content, PUBLISHED), "Limits").splitlines() == [
        "- The numbers were measured on examples that the recipe held out. On texts of another "
        "kind, source or time the model may do worse.",
        "- Epoch 2 of 3 was chosen by the validation examples, so the numbers on them are a little "
        "too good.",
        "- There is no test split that had no part in training.",
        "- Only 8 examples of `main` are in `validation`: few for fine numbers.",
        "- It is one run, with the seed 5; another gives other numbers.",
        "- Nothing here says how far its probabilities can be believed, how robust it is, or "
        "whether it treats groups of people alike.",
        "- `main` knows 2 labels and answers with nothing else, whatever the text.",
        "- Made for `en` and `no`, as its author says.",
        "- All numbers were measured after `quantize-int8`, on the model as it is served.",
        "- On other machines arithmetic differs a little: outputs within 0.001 of their scale "
        "count as the same.",
    ]
    card = write_card(content, Published(NAME))
    assert "- Its languages were not stated." in section(card, "Limits")
    assert section(card, "Licence").splitlines()[0] == (
        "No licence was stated; ask the author before using it."
    )


def test_a_missing_proof_and_a_difference_are_told():
    content = kept("delta-lora", proof=None)
    assert section(write_card(content, PUBLISHED), "Proof and files").startswith(
        "It was saved without a proof: nobody compared what loads with what was trained."
    )
    proof = manifest.Proof(rows=8, difference=2.5e-7, tolerance=1e-5, elsewhere=1e-3)
    content = kept("delta-lora", proof=proof)
    assert section(write_card(content, PUBLISHED), "Proof and files").split("\n\n")[:2] == [
        "When it was saved, a fresh process loaded it: the outputs of 8 examples differed by "
        "2.5e-07 of their scale.",
        "`hub verify ada/tiny` checks the sha256 of every file, the backbone's fingerprint and "
        "those outputs again.",
    ]


def test_lineage_is_told_step_by_step():
    before = {"name": "first", "hub.json": "ab" * 32, "strategies": ["lora"], "compressors": []}
    lineage = [
        {"step": "train", "from": before, "added_labels": {"main": ["new"]}},
        {"step": "extract", "task": "main"},
        {"step": "train", "from": {"name": "second"}, "new_head": True},
    ]
    card = write_card(kept("delta-lora", lineage=lineage), PUBLISHED)
    assert section(card, "Lineage").splitlines() == [
        "1. Trained on from `first`, made with `lora` (its hub.json: `abababababababab`); new "
        "labels of `main`: `new`",
        "1. extract: `main`",
        "1. Trained on from `second`; with new heads",
    ]
    assert "## Lineage" not in write_card(kept("delta-lora"), PUBLISHED)


def test_a_task_with_many_labels_lists_the_first():
    content = kept("delta-lora")
    entry = content.tasks["main"].model_copy(update={"labels": [f"l{n}" for n in range(77)]})
    card = write_card(content.model_copy(update={"tasks": {"main": entry}}), PUBLISHED)
    assert "`l19` and 57 more. It needs" in card


@pytest.mark.parametrize("name", ARTIFACTS)
def test_the_recipe_on_the_card_is_the_artifact_s(name, tmp_path):
    content = manifest.read(KEPT / name)
    [text] = blocks(write_card(content, PUBLISHED), "toml")
    assert parse(tomllib.loads(text)).model_dump() == parse(content.recipe).model_dump()


def test_a_recipe_of_any_values_is_read_back():
    values = {
        "backbone": {"name": "b", "x": 'q"\\\n\t\x7f\u2028\u202e\U000e0001 ü 😀', "y": 1e-7},
        "tasks": {"a": {"head": "h", "columns": {"text": "my text"}, "labels": ["no", "1", "```"]}},
        "strategies": ["plain", {"name": "s", "deep": {"list": [1, True, {"k-é": []}]}}],
        "training": {"seed": 3},
    }
    text = recipe_toml(values)
    assert parse(tomllib.loads(text)).model_dump() == parse(values).model_dump()
    assert text.replace("\n", "").isprintable()
    assert tomllib.loads(f"x = {toml(chr(0xD800))}") == {"x": "\ufffd"}


def test_what_is_no_recipe_and_no_repository_is_refused():
    with pytest.raises(RecipeError, match=r"^the recipe in hub.json: this is not a complete rec"):
        write_card(kept("delta-lora", recipe={}), PUBLISHED)
    with pytest.raises(RemoteError, match=r"^'a b' is no name of a repository$"):
        write_card(kept("delta-lora"), Published("a b"))


# -- the author's own README.md


def test_the_author_s_own_readme_comes_first():
    own = "---\nlicense: mit\ntags: [mine, lora]\nnew: 1\n---\n\n# Mine\n\nText.\n"
    card = write_card(kept("delta-lora"), Published(NAME, license="apache-2.0", own=own))
    assert card.endswith("\n---\n\n# Mine\n\nText.\n")
    found = front(card)
    assert (found["license"], found["new"]) == ("mit", 1)
    assert found["tags"] == ["mine", "lora", "hub-core", "classification"]
    assert found["base_model"] == "acme/bert"


def test_an_own_text_without_front_matter_gets_it_and_front_matter_alone_keeps_the_body():
    card = write_card(kept("delta-lora"), Published(NAME, own="Only text"))
    assert card.endswith("\n---\n\nOnly text\n")
    assert front(card)["library_name"] == "peft"
    card = write_card(kept("delta-lora"), Published(NAME, own="---\nlicense: mit\n---\n"))
    assert front(card)["license"] == "mit"
    assert "\n# tiny\n" in card


def test_a_generated_card_is_nobody_s_own():
    first = write_card(kept("delta-lora"), PUBLISHED)
    again = write_card(kept("whole-plain"), Published("ada/other", own=first))
    assert again == write_card(kept("whole-plain"), Published("ada/other"))
    edited = first.replace(f"{MARK}\n", "My words.\n")
    assert write_card(kept("delta-lora"), Published(NAME, own=edited)).endswith("My words.\n")


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("a: [", "README.md: its front matter is not YAML: while parsing a flow node"),
        ("a: &x 1\nb: *x", "README.md: its front matter is not YAML: aliases are not accepted"),
        ("a: !!python/object:os.x {}", "README.md: its front matter is not YAML: could not"),
        ("- a", "README.md: its front matter does not hold names with values"),
    ],
)
def test_front_matter_that_cannot_be_read_is_refused(header, sentence):
    with pytest.raises(FormatError) as caught:
        write_card(kept("delta-lora"), Published(NAME, own=f"---\n{header}\n---\n"))
    assert caught.value.message.startswith(sentence)


# -- hostile manifests

HOSTILE = (
    "x\n---\n# pwn\n\n<script>alert(1)</script> | `a` ```\n```\n![i](http://e.vil) [l](http://e.vil)"
    " https://e.vil www.e.vil &lt; \\| !!python/object:os.system \u202e\u2028\x1b[2J {{x}} *b* _c_"
)


def hostile():
    """Return a manifest in which whatever may be any text is hostile, also the recipe's values."""
    values = kept("delta-lora", history=[{"loss": HOSTILE, "validation": {HOSTILE: {HOSTILE: 1}}}])
    values = values.model_dump(mode="json")
    values["backbone"] |= {"name": HOSTILE, "hint": HOSTILE}
    values["recipe"]["backbone"]["model"] = HOSTILE
    values["recipe"]["tasks"]["main"] |= {"data": HOSTILE, "labels": ["```", "a|b"]}
    values["recipe"]["strategies"].append({"name": HOSTILE, HOSTILE: HOSTILE})
    values["methods"] = [
        method | dict.fromkeys(("name", "plugin", "distribution", "version"), HOSTILE)
        for method in values["methods"]
    ]
    entry = values["tasks"]["main"]
    entry |= {
        "labels": [HOSTILE, "no", "`", " ", ""],
        "columns": {"text": HOSTILE, HOSTILE: HOSTILE, "label": HOSTILE},
        "metrics": {HOSTILE: {HOSTILE: 0.5, "macro_f1": 0.5}},
        "examples": {HOSTILE: 3},
        "data": {HOSTILE: HOSTILE},
    }
    values["tasks"] = {"main": entry, HOSTILE: entry}
    values["environment"] = {HOSTILE: HOSTILE}
    before = {"name": HOSTILE, "hub.json": HOSTILE, "strategies": [HOSTILE, {HOSTILE: 1}]}
    values["lineage"] = [
        {"step": HOSTILE, "task": HOSTILE},
        {"step": "train", "from": before, "added_labels": {HOSTILE: [HOSTILE]}},
        {"step": [HOSTILE], "from": HOSTILE},
    ]
    return Manifest.model_validate(values)


def test_a_hostile_manifest_stays_inert(monkeypatch):
    monkeypatch.setattr(facts, "pipeline", lambda *_: "text-classification")
    card = write_card(hostile(), Published(NAME, license="mit\nx: 1", languages=("en\n---",)))
    read = front(card)
    assert list(read) == [
        "license", "language", "library_name", "pipeline_tag", "tags", "model-index",
    ]  # fmt: skip
    assert (read["license"], read["language"]) == ("mit x: 1", ["en ---"])
    assert read["tags"] == ["hub-core"]
    shown = plain(HOSTILE)
    first, second = read["model-index"][0]["results"]
    assert (first["task"]["name"], second["task"]["name"]) == ("main", shown)
    assert first["dataset"]["split"] == shown
    assert first["metrics"][0] == {"type": shown, "value": 0.5, "name": shown}
    assert ModelCard(card, ignore_metadata_errors=False).data.to_dict() == read
    body = card.split("\n---\n", 1)[1]
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    inline = [child for token in tokens for child in token.children or ()]
    assert {token.content.strip() for token in tokens if token.type == "html_block"} == {MARK}
    assert {token.content for token in inline if token.type == "html_inline"} <= {
        "<code>", "</code>"
    }  # fmt: skip
    assert [t.attrs["href"] for t in inline if t.type == "link_open"] == ["#environment"]
    assert not {"image", "em_open", "strong_open", "hr"} & {
        token.type for token in [*tokens, *inline]
    }
    titles = [
        tokens[place + 1].content for place, t in enumerate(tokens) if t.type == "heading_open"
    ]
    assert titles == ["tiny", "Use it", "Results", "Data", "Recipe", "Limits", "Proof and files",
                      "Lineage", "Environment", "Licence"]  # fmt: skip
    assert all(line.isprintable() for line in card.splitlines())
    [recipe] = [t.content for t in tokens if t.type == "fence" and t.info == "toml"]
    assert parse(tomllib.loads(recipe)).backbone.options["model"] == HOSTILE


def test_every_row_of_a_hostile_table_has_as_many_cells_as_its_header():
    tables = re.findall(r"(?:^\|.*\n)+", write_card(hostile(), PUBLISHED), re.M)
    assert len(tables) == 5
    for lines in map(str.splitlines, tables):
        assert {line.count("|") for line in lines} == {lines[0].count("|")}
        assert not any("\\" in line for line in lines)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "`plain`"),
        ("a`b", "``a`b``"),
        ("``", "``` `` ```"),
        ("", "(empty)"),
        (" \n ", "(empty)"),
        ("a\r\nb\u2028c", "`a b c`"),
    ],
)
def test_a_code_span_holds_any_text(value, shown):
    assert code(value) == (f"`{shown}`" if shown == "(empty)" else shown)
    text = plain(value) or "(empty)"
    [token] = MarkdownIt().parseInline(code(value))[0].children
    assert (token.type, token.content) == ("code_inline", text)


def test_a_word_is_bare_only_if_it_is_harmless():
    assert [word(x) for x in ("macro_f1", "ecart-type é", "_x_", "www.x.y", "a*b")] == [
        "macro_f1", "ecart-type é", "`_x_`", "`www.x.y`", "`a*b`",
    ]  # fmt: skip
    assert cell("a|b\\") == "<code>a&#124;b&#92;</code>"
    assert plain("x" * 500) == "x" * 120 + "…"


# -- what the card says works


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny backbone, and an artifact of each kind that plain libraries open."""
    root = tmp_path_factory.mktemp("card")
    bert = tinymodels.save("bert", root / "bert")
    for pooling in ("mean", "first"):
        head = {"name": "classification", "pooling": pooling}
        recipe = tinymodels.recipe(bert, head=head, strategies=["lora"])
        quick.moved(recipe).saved(root / f"adapter-{pooling}")
    head = {"name": "multi-label", "pooling": "mean"}
    quick.moved(tinymodels.recipe(bert, head=head, strategies=["full"]), size=0.02).saved(
        root / "whole-mean",
        examples=[{"text": e["text"], "labels": [e["label"]]} for e in quick.EXAMPLES],
    )
    return root


def card_of(folder):
    content = manifest.read(folder)
    backbone = content.backbone.model_copy(update={"hint": f"acme/bert@{COMMIT}"})
    return write_card(content.model_copy(update={"backbone": backbone}), PUBLISHED)


def executed(code, root, folder, monkeypatch):
    """Run lines of a card, the two repositories being folders here; return what they define."""
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo, name: f"{repo}/{name}")
    code = code.replace('"ada/tiny"', repr(str(folder)))
    code = code.replace('"acme/bert"', repr(str(root / "bert")))
    names = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    return names | {"printed": printed.getvalue()}


@pytest.mark.parametrize("name", ["adapter-mean", "adapter-first", "whole-mean"])
def test_the_lines_for_plain_libraries_give_our_scores(name, made, monkeypatch):
    card = card_of(made / name)
    _, body, head = blocks(card, "python")
    kind = "PEFT" if "adapter" in name else "transformers"
    assert f"With plain {kind}, which gives" in card
    assert (f'revision = "{COMMIT}"' in body) == (kind == "PEFT")
    found = executed(f"{body}\n{head}", made, made / name, monkeypatch)
    predictor = hub_core.load(made / name)
    own = predictor.model.head("main")
    rows = rows_of(own, [{"text": "A text"}], predictor.model.backbone)
    [scores] = run(predictor.model, "main", rows)
    torch.testing.assert_close(found["scores"][0], scores, rtol=1e-4, atol=1e-4)
    assert "A score for each label, in this order: `bad` and `good`." in card


@pytest.mark.parametrize("name", ["adapter-mean", "whole-mean"])
def test_the_lines_for_hub_core_work(name, made, monkeypatch, capsys):
    card = card_of(made / name)
    found = executed(blocks(card, "python")[0], made, made / name, monkeypatch)
    assert found["printed"].startswith("[{'label")
    [command] = blocks(card, "console")
    assert command == 'hub predict ada/tiny "A text"'
    assert main(["predict", str(made / name), "A text"]) == 0
    assert "A text" in capsys.readouterr().out


def test_where_pooling_is_left_to_the_backbone_the_card_says_what_is_missing():
    card = write_card(kept("delta-lora"), PUBLISHED)
    assert len(blocks(card, "python")) == 2
    assert (
        "The head is in `head.main.safetensors`; hub-core applies it. What it does with the hidden "
        "states before its weights, hub.json does not say."
    ) in section(card, "Use it")


def test_a_head_with_more_than_a_linear_layer_gets_no_lines():
    content = kept("regression")
    recipe = copy.deepcopy(content.recipe)
    recipe["tasks"]["main"]["head"]["pooling"] = "mean"
    card = write_card(content.model_copy(update={"recipe": recipe}), PUBLISHED)
    assert len(blocks(card, "python")) == 2  # its scale is not in plain lines


def test_plain_libraries_are_named_only_where_they_work():
    for name in ("head-only", "toy-prefix", "whole-int8", "toy-shrink"):
        assert "With plain" not in write_card(kept(name), PUBLISHED), name
    assert "With plain" not in write_card(kept("delta-lora", hint=""), PUBLISHED)


def test_what_peft_leaves_out_is_told():
    card = write_card(kept("delta-pruned"), PUBLISHED)
    assert ("PEFT" in section(card, "Use it")) == (
        "adapter_config.json" in kept("delta-pruned").files
    )
    content = kept("delta-lora")
    method = content.methods[-1].model_copy(update={"kind": "compressor", "name": "squeeze"})
    card = write_card(content.model_copy(update={"methods": [*content.methods, method]}), PUBLISHED)
    assert (
        "PEFT applies the adapter alone, not `squeeze`: its outputs differ from those that the "
        "results below were measured on."
    ) in card


def test_pairs_are_shown_as_pairs():
    content = kept("delta-lora")
    columns = {"text": "premise", "pair": "hypothesis", "label": "label"}
    entry = content.tasks["main"].model_copy(update={"columns": columns})
    card = write_card(content.model_copy(update={"tasks": {"main": entry}}), PUBLISHED)
    assert blocks(card, "console") == ["hub predict ada/tiny --file data.csv"]
    assert 'model.predict([{"text": "A text", "pair": "another one"}])' in card
    assert "For `main`, the file has the columns `premise` and `hypothesis`." in card


# -- pictures


def points(monkeypatch, **functions):
    """Make these the installed providers of pictures."""

    class Point:
        def __init__(self, name, draw):
            self.name, self.draw, self.dist = name, draw, None

        def load(self):
            return self.draw

    found = [Point(name, draw) for name, draw in functions.items()]
    monkeypatch.setattr(metadata, "entry_points", lambda group: found if group else [])


PNG = b"\x89PNG\r\n\x1a\n..."


def test_the_first_picture_by_name_is_taken(monkeypatch):
    points(monkeypatch, b=lambda _: PNG + b"b", a=lambda _: None, c=lambda _: PNG)
    assert pictures.picture(kept("delta-lora")) == PNG + b"b"
    points(monkeypatch)
    assert pictures.picture(kept("delta-lora")) is None


def test_a_broken_picture_is_only_warned_of(monkeypatch, caplog):
    def fails(content):
        raise SystemExit("no")

    points(monkeypatch, a=fails, b=lambda _: b"<svg>", c=lambda _: PNG)
    with caplog.at_level(logging.WARNING, "hub_core"):
        assert pictures.picture(kept("delta-lora")) == PNG
    assert caplog.messages == [
        "the picture 'a' could not be drawn: SystemExit: no",
        "the picture 'b' is left out: it is no PNG",
    ]
