"""Every format that people have is read alike, and what is damaged is told before training."""

import gzip
import json
import logging
import tomllib

import pytest
import toydata

from hub_core.cli import main
from hub_core.data import columns_of, examples_of, read_table
from hub_core.declare import Column
from hub_core.errors import DataError
from hub_core.recipe import parse, read
from hub_core.sketch import dry_run
from hub_core.sources import is_table, splits_of
from hub_core.tables import Stream

datasets = pytest.importorskip("datasets")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

CLASSIFY = (
    Column("text", "text", ("text",)),
    Column("label", "label", ("label",), target=True),
)
ROWS = [{"text": "Fine, then", "label": "good"}, {"text": "Bad\nday", "label": "bad"}]
CSV = 'text,label\n"Fine, then",good\n"Bad\nday",bad\n'
TSV = 'text\tlabel\nFine, then\tgood\n"Bad\nday"\tbad\n'
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)
AGAIN = "fetch it again, or write it again"
PACKED = "fetch it again, or compress it again; 'gzip -t' checks it"
ROWS_HINT = "correct or remove them; rows are counted from 1 and leave out a header line"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    return tmp_path


def refused(call, *arguments):
    """Return message and hint of the DataError that a call raises."""
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return caught.value.message, caught.value.hint


def parquet_file(path, rows=ROWS):
    parquet.write_table(pa.Table.from_pylist(rows), path)


def arrow_file(path, rows=ROWS, chunk=None):
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, chunk)


def arrow_stream(path, rows=ROWS, chunk=None):
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, chunk)


def zipped(text):
    return lambda path: path.write_bytes(gzip.compress(text.encode()))


def saved(path):
    datasets.Dataset.from_list(ROWS).save_to_disk(str(path))


# -- reading what is right


FORMATS = {
    "a.csv.gz": zipped(CSV),
    "a.TSV.GZ": zipped(TSV),
    "a.jsonl.gz": zipped(JSONL),
    "a.json.gz": zipped(json.dumps(ROWS)),
    "a.parquet": parquet_file,
    "a.arrow": arrow_file,
    "b.arrow": arrow_stream,
    "folder": saved,
}


@pytest.mark.parametrize("limit", [0, 1])
@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_file_gives_the_same_rows_in_memory_or_not(here, name, limit):
    FORMATS[name](here / name)
    table = read_table(name, limit)
    assert (table.source, table.columns) == (name, ["text", "label"])
    assert list(table.rows) == list(table.rows) == ROWS
    assert table.streamed is bool(limit) is isinstance(table.rows, Stream)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow", "folder"])
def test_many_rows_are_read_in_parts_and_none_is_lost(here, name):
    rows = [{"text": f"text {number}", "label": str(number % 3)} for number in range(2500)]
    if name == "a.csv":
        lines = [f"{row['text']},{row['label']}\n" for row in rows]
        (here / name).write_text("text,label\n" + "".join(lines))
    elif name == "folder":
        datasets.Dataset.from_list(rows).save_to_disk(name, num_shards=3)
    else:
        {"a.parquet": parquet_file, "a.arrow": arrow_file}[name](here / name, rows)
    assert list(read_table(name).rows) == rows


def test_parquet_keeps_types_and_what_is_missing(here):
    rows = [{"text": "a", "n": 1, "x": 0.5, "l": ["b"]}, {"text": None, "n": None, "x": None,
                                                          "l": None}]  # fmt: skip
    parquet_file(here / "a.parquet", rows)
    assert read_table("a.parquet").rows == rows


def test_class_labels_are_names_in_every_format_of_datasets(here):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    rows = [{"text": "a", "label": 1}, {"text": "b", "label": -1}]
    dataset = datasets.Dataset.from_list(rows, features=features)
    dataset.to_parquet("a.parquet")
    dataset.save_to_disk("folder")
    wanted = [{"text": "a", "label": "good"}, {"text": "b", "label": None}]
    for name in ("a.parquet", "folder", "folder/data-00000-of-00001.arrow"):
        assert read_table(name).rows == wanted


def test_a_selection_of_a_data_set_is_what_was_selected():
    dataset = datasets.Dataset.from_list(ROWS * 3).select([3, 0])
    assert read_table(dataset).rows == [ROWS[1], ROWS[0]]


# -- several files


def test_a_pattern_is_all_files_that_match_sorted(here):
    (here / "data").mkdir()
    for name in ("b.csv", "a.csv", "c.tsv"):
        (here / "data" / name).write_text(f"text,label\n{name},x\n")
    table = read_table("data/*.csv")
    assert table.source == "data/a.csv, data/b.csv"
    assert [row["text"] for row in table.rows] == ["a.csv", "b.csv"]
    assert read_table(["data/*.csv", "data/a.csv"]).parts == (
        ("data/a.csv", 1), ("data/b.csv", 1), ("data/a.csv", 1))  # fmt: skip


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(here):
    (here / "a[1].csv").write_text(CSV)
    assert read_table("a[1].csv").rows == ROWS


def test_a_pattern_without_a_match_is_told_with_what_is_there(here):
    (here / "data").mkdir()
    assert refused(read_table, "data/*.csv") == (
        "data/*.csv: no file matches",
        "there are no files in data",
    )
    for name in ("train.tsv", "test.tsv"):
        (here / "data" / name).write_text("x")
    assert refused(read_table, "data/*.csv") == (
        "data/*.csv: no file matches",
        "the files in data are 'test.tsv', 'train.tsv'",
    )


def test_many_files_are_not_all_named(here):
    for number in range(8):
        (here / f"{number}.csv").write_text(CSV)
    assert read_table("*.csv").source == "0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 3 more"


def test_rows_of_a_pattern_are_counted_in_their_own_file(here):
    (here / "a.csv").write_text("text,label\na,1\n")
    parquet_file(here / "b.parquet", [{"text": "b", "label": 1}, {"text": "", "label": 1}])
    table = read_table(["a.csv", "b.parquet"])
    names = columns_of(table, CLASSIFY, {})
    assert refused(examples_of, table, CLASSIFY, names, None) == (
        "a.csv, b.parquet: 1 value cannot be used:\n"
        "  - b.parquet, row 2, column 'text': the text is missing",
        ROWS_HINT,
    )


# -- what is damaged


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.parquet", "a.arrow"])
def test_an_empty_file_is_told(here, name):
    (here / name).write_bytes(b"")
    assert refused(read_table, name) == (
        f"{name}: the file is empty",
        "give a file with examples in it",
    )


def test_gzip_of_nothing_is_empty_too(here):
    (here / "a.csv.gz").write_bytes(gzip.compress(b" \n"))
    assert refused(read_table, "a.csv.gz")[0] == "a.csv.gz: the file is empty"


@pytest.mark.parametrize("make", [parquet_file, arrow_file, arrow_stream])
def test_a_file_without_rows_is_told(here, make):
    path = here / ("a.parquet" if make is parquet_file else "a.arrow")
    table = pa.Table.from_pylist(ROWS)[:0]
    make(path, table.to_pylist() or [])
    assert refused(read_table, path.name)[0] == f"{path.name}: there are no rows"


def test_a_cut_off_gzip_file_is_told_wherever_it_is_cut(here):
    lines = "".join(f'{{"text": "{number * 7919}", "label": "x"}}\n' for number in range(20_000))
    whole = gzip.compress(lines.encode())
    for size in (20, len(whole) // 2, len(whole) - 3):
        (here / "a.jsonl.gz").write_bytes(whole[:size])
        assert refused(read_table, "a.jsonl.gz") == (
            "a.jsonl.gz: the compressed file is damaged or cut off",
            PACKED,
        )


def test_a_damaged_gzip_file_is_told(here):
    whole = bytearray(gzip.compress(CSV.encode() * 50))
    whole[len(whole) // 2] ^= 0xFF
    (here / "a.csv.gz").write_bytes(whole)
    assert refused(read_table, "a.csv.gz") == (
        "a.csv.gz: the compressed file is damaged or cut off",
        PACKED,
    )


ROW = {"text": "word " * 20, "label": "x"}


@pytest.mark.parametrize("make", [parquet_file, arrow_file, arrow_stream])
def test_a_cut_off_columnar_file_is_told_wherever_it_is_cut(here, make):
    path = here / ("a.parquet" if make is parquet_file else "a.arrow")
    make(path, [ROW] * 500, *(() if make is parquet_file else (100,)))
    whole = path.read_bytes()
    for size in (9, len(whole) // 3, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        path.write_bytes(whole[:size])
        message, hint = refused(read_table, path.name)
        assert message.startswith((f"{path.name}: is damaged or cut off: ",
                                   f"{path.name}: is no Arrow file, or it is cut off"))  # fmt: skip
        assert "\n" not in message
        assert hint == AGAIN


def test_a_stream_that_is_cut_between_two_batches_is_told(here):
    """pyarrow reads it without a word, and the rest would be lost."""
    arrow_stream(here / "a.arrow", [ROW] * 4, 2)
    whole = (here / "a.arrow").read_bytes()
    (here / "a.arrow").write_bytes(whole[:-8])
    assert pa.ipc.open_stream(whole[:-8]).read_all().num_rows == 4
    assert refused(read_table, "a.arrow") == (
        "a.arrow: is no Arrow file, or it is cut off",
        AGAIN,
    )


def test_damaged_bytes_inside_of_parquet_are_told(here):
    parquet_file(here / "a.parquet", [{"text": f"{n} words", "label": "x"} for n in range(9000)])
    whole = bytearray((here / "a.parquet").read_bytes())
    whole[10:400] = bytes(390)
    (here / "a.parquet").write_bytes(whole)
    message, hint = refused(read_table, "a.parquet")
    assert message.startswith("a.parquet: is damaged or cut off: ")
    assert hint == AGAIN


def test_a_damaged_saved_data_set_is_told(here):
    saved(here / "folder")
    (here / "folder" / "data-00000-of-00001.arrow").write_bytes(b"\xff\xff\xff\xff")
    message, hint = refused(read_table, "folder")
    assert message.startswith("folder: is damaged or cut off: ")
    assert hint == AGAIN
    (here / "folder" / "state.json").write_text("{")
    assert refused(read_table, "folder")[0].startswith("folder: is damaged or cut off: ")


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("a.csv", gzip.compress(b"text\na\n", mtime=0),
         "a.csv: is compressed with gzip, although its name ends in '.csv'",
         "rename it to end in '.csv.gz'"),
        ("a.csv", b"PAR1....", "a.csv: is a Parquet file, although its name ends in '.csv'",
         "rename it to end in '.parquet'"),
        ("a.jsonl", b"ARROW1\0\0", "a.jsonl: is an Arrow file, although its name ends in '.jsonl'",
         "rename it to end in '.arrow'"),
        ("a.csv", b"PK\x03\x04....",
         "a.csv: is a ZIP archive or a spreadsheet, although its name ends in '.csv'",
         "unpack it, or save it as CSV"),
        ("a.arrow", b"PAR1....", "a.arrow: is a Parquet file, although its name ends in '.arrow'",
         "rename it to end in '.parquet'"),
        ("a.csv.gz", b"text\na\n",
         "a.csv.gz: is not compressed with gzip, although its name ends in '.gz'",
         "fetch it again, or rename it to end in '.csv' if that is what it is"),
        ("a.parquet", b"text,label\n",
         "a.parquet: is not a Parquet file, although its name ends in '.parquet'",
         "fetch it again, or rename it to end in '.csv' or '.jsonl' if that is what it is"),
        ("a.arrow", b"text,label\na,b\n", "a.arrow: is no Arrow file, or it is cut off", AGAIN),
        ("a.gz", b"x", "a.gz: files ending in '.gz' cannot be read",
         "use CSV, TSV, JSONL, Parquet or Arrow"),
        ("a.parquet.gz", b"x", "a.parquet.gz: files ending in '.parquet.gz' cannot be read",
         "use CSV, TSV, JSONL, Parquet or Arrow"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_its_name_says_is_told(here, name, content, message, hint):
    (here / name).write_bytes(content)
    assert refused(read_table, name) == (message, hint)


def test_text_in_parquet_that_is_not_utf8_is_told_with_row_and_column(here):
    texts = pa.array([b"fine", b"caf\xe9", b"x"], pa.binary()).cast(pa.string(), safe=False)
    parquet.write_table(pa.table({"id": [1, 2, 3], "text": texts}), "a.parquet")
    assert refused(read_table, "a.parquet") == (
        "a.parquet: row 2, column 'text': the text is not UTF-8 (byte 4)",
        "write the file again from texts in UTF-8",
    )


def test_gzipped_text_that_is_not_utf8_is_told_with_its_line(here):
    (here / "a.csv.gz").write_bytes(gzip.compress(b"text\nfine\ncaf\xe9\n"))
    assert refused(read_table, "a.csv.gz") == (
        "a.csv.gz: line 3 is not UTF-8 (byte 4)",
        "save the file as UTF-8",
    )


def test_bytes_and_times_in_parquet_are_not_cast_to_text(here):
    import datetime

    rows = [{"text": b"raw", "label": "x"}]
    parquet_file(here / "a.parquet", rows)
    table = read_table("a.parquet")
    message, _ = refused(examples_of, table, CLASSIFY, columns_of(table, CLASSIFY, {}), None)
    assert message.splitlines()[1] == "  - row 1, column 'text': b'raw' is not text"
    parquet_file(here / "b.parquet", [{"text": "x", "label": datetime.date(2020, 1, 2)}])
    table = read_table("b.parquet")
    message, _ = refused(examples_of, table, CLASSIFY, columns_of(table, CLASSIFY, {}), None)
    assert message.splitlines()[1] == (
        "  - row 1, column 'label': datetime.date(2020, 1, 2) is not a label"
    )


def test_two_columns_of_one_name_in_parquet_are_told(here):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    parquet.write_table(table, "a.parquet")
    assert refused(read_table, "a.parquet") == (
        "a.parquet: several columns are named 'text'",
        "rename one of them",
    )


# -- data sets with splits


def dataset_dict(**splits):
    return datasets.DatasetDict(
        {name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}
    )


def sizes(values, data=None):
    return dry_run(values, data).splits["main"]


def test_the_splits_of_a_saved_data_set_are_used(here):
    dataset_dict(
        train=toydata.labelled(40), validation=toydata.labelled(8), test=toydata.labelled(6)
    ).save_to_disk("folder")
    values = toydata.recipe()
    values["tasks"]["main"]["data"] = "folder"
    assert sizes(values) == {"train": 40, "validation": 8, "test": 6}
    values["tasks"]["main"]["validation"] = 0.25  # the recipe says otherwise
    assert sizes(values) == {"train": 30, "validation": 10, "test": 6}
    values["tasks"]["main"] |= {"validation": "folder/test", "test": 0}
    assert sizes(values) == {"train": 40, "validation": 6, "test": 0}


def test_splits_that_a_saved_data_set_lacks_are_split_off(here):
    dataset_dict(train=toydata.labelled(40), dev=toydata.labelled(8)).save_to_disk("folder")
    values = toydata.recipe()
    values["tasks"]["main"]["data"] = "folder"
    assert sizes(values) == {"train": 36, "validation": 8, "test": 4}


def test_a_test_split_without_labels_is_told_and_replaced(here, caplog):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    rows = [{"text": r["text"], "label": int(r["label"] == "good")} for r in toydata.labelled(40)]
    hidden = [row | {"label": -1} for row in rows[:9]]
    datasets.DatasetDict(
        train=datasets.Dataset.from_list(rows, features=features),
        test=datasets.Dataset.from_list(hidden, features=features),
    ).save_to_disk("folder")
    values = toydata.recipe()
    values["tasks"]["main"] |= {"data": "folder", "validation": 0}
    with caplog.at_level(logging.WARNING, "hub_core"):
        assert sizes(values) == {"train": 36, "validation": 0, "test": 4}
    assert "task main: folder/test has no labels, so it is not used as test data" in (
        record.getMessage() for record in caplog.records
    )


def test_of_several_splits_one_must_be_named(here):
    dataset_dict(train=ROWS, test=ROWS).save_to_disk("folder")
    assert refused(read_table, "folder") == (
        "folder: holds the splits 'train', 'test'",
        "name one of them, such as folder/train",
    )
    assert read_table("folder/test").rows == ROWS


def test_a_data_set_without_a_training_split_is_told(here):
    dataset_dict(first=ROWS, second=ROWS).save_to_disk("folder")
    values = toydata.recipe()
    values["tasks"]["main"]["data"] = "folder"
    assert refused(sizes, values) == (
        "folder: has no split train, but first, second",
        "say which one trains, such as folder/first",
    )


# -- the Hub


@pytest.fixture
def hub(monkeypatch):
    """Answer for the Hub, and note what was asked."""
    asked = []
    splits = dataset_dict(train=toydata.labelled(40), test=toydata.labelled(6))

    def load(path, name=None, *, split=None):
        asked.append((path, name, split))
        return splits if split is None else splits[split]

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_a_hub_data_set_is_named_with_configuration_and_split(hub):
    assert len(read_table("hub:owner/name#test").rows) == 6
    table = read_table("hub:owner/na.me/con-fig#train")
    assert (table.source, len(table.rows)) == ("hub:owner/na.me/con-fig#train", 40)
    assert hub == [("owner/name", None, "test"), ("owner/na.me", "con-fig", "train")]


def test_the_splits_of_a_hub_data_set_are_used(hub):
    values = toydata.recipe()
    values["tasks"]["main"]["data"] = "hub:owner/name"
    assert sizes(values) == {"train": 36, "validation": 4, "test": 6}
    values["tasks"]["main"]["data"] = "hub:owner/name#train"
    assert sizes(values) == {"train": 32, "validation": 4, "test": 4}
    assert splits_of("hub:owner/name#train") == {}


def test_several_splits_of_a_hub_data_set_are_told(hub):
    assert refused(read_table, "hub:owner/name") == (
        "hub:owner/name: holds the splits 'train', 'test'",
        "name one of them, such as hub:owner/name#train",
    )


@pytest.mark.parametrize(
    "text", ["hub:sst2", "hub:", "hub:a/b/c/d", "hub:a/b#", "hub:a/b c", "hub:https://x/y"]
)
def test_what_is_no_reference_to_the_hub_is_told(text):
    assert refused(read_table, text) == (
        f"{text}: a data set of the Hub is written hub:OWNER/NAME, "
        "with /CONFIG and #SPLIT behind it where there are several",
        "such as hub:stanfordnlp/sst2#train",
    )


UNREACHED = (
    "check the connection and HF_HUB_OFFLINE, or download the data set elsewhere and name its files"
)


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (ConnectionError("Couldn't reach 'o/n' on the Hub (OfflineModeIsEnabled)"),
         "hub:o/n: the Hub cannot be reached: "
         "Couldn't reach 'o/n' on the Hub (OfflineModeIsEnabled)", UNREACHED),
        (TimeoutError(), "hub:o/n: the Hub cannot be reached: TimeoutError", UNREACHED),
        (OSError("offline mode is enabled"),
         "hub:o/n: the Hub cannot be reached: offline mode is enabled", UNREACHED),
        (datasets.exceptions.DatasetNotFoundError("Dataset 'o/n' doesn't exist"),
         "hub:o/n: the Hub shows no data set of that name",
         "check the name; if it is private or gated, log in with 'hf auth login'"),
        (ValueError("Config name is missing.\nPlease pick one among: ['a', 'b']"),
         "hub:o/n: Config name is missing. Please pick one among: ['a', 'b']",
         "write hub:OWNER/NAME/CONFIG#SPLIT with a configuration and a split it has"),
        (RuntimeError("Dataset scripts are no longer supported, but found n.py"),
         "hub:o/n: cannot be read: Dataset scripts are no longer supported, but found n.py",
         "download its files and name them instead"),
        (datasets.exceptions.DatasetGenerationError("An error occurred"),
         "hub:o/n: cannot be read: An error occurred",
         "download its files and name them instead"),
    ],
)  # fmt: skip
def test_what_goes_wrong_with_the_hub_is_one_sentence(monkeypatch, error, message, hint):
    def load(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert refused(read_table, "hub:o/n") == (message, hint)


# -- names in recipes and on the command line


def test_names_in_a_recipe_are_beside_it_but_not_those_of_the_hub(here):
    folder = here / "[x]"
    folder.mkdir()
    (folder / "r.toml").write_text(
        '[backbone]\nname = "b"\n[tasks.t]\nhead = "h"\ndata = ["*.csv", "a.csv", "hub:o/n"]\n'
        'validation = "hub:o/n#dev"\n'
    )
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(CSV)
    task = parse(read("[x]/r.toml")).tasks["t"]
    assert task.data == ["[[]x]/*.csv", "[x]/a.csv", "hub:o/n"]
    assert task.validation == "hub:o/n#dev"
    assert read_table(task.data[:2]).source == "[x]/a.csv, [x]/b.csv, [x]/a.csv"


def test_init_writes_names_of_the_hub_as_they_are(here):
    (here / "sub").mkdir()
    arguments = ["init", "sub/r.toml", "--data", "hub:o/n", "--test", "hub:o/n#test",
                 "--validation", "data/*.csv"]  # fmt: skip
    assert main(arguments) == 0
    task = tomllib.loads((here / "sub" / "r.toml").read_text())["tasks"]["task"]
    assert (task["data"], task["test"]) == ("hub:o/n", "hub:o/n#test")
    assert task["validation"] == "../data/*.csv"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.csv", True), ("a.csv.gz", True), ("A.PARQUET", True), ("hub:o/n", True), ("a.txt", False),
     ("a.gz", False), ("a", False)],
)  # fmt: skip
def test_data_with_columns_are_known_by_their_names(name, expected):
    assert is_table(name) is expected
