"""What is wrong with data is told with file, row and column; what is right is not changed."""

import csv
import json
import math
from types import SimpleNamespace

import pytest
import torch

from hub_core.data import (
    TaskData,
    batches_of,
    columns_of,
    examples_of,
    labels_in,
    overlap,
    read_table,
    shares,
    split_off,
)
from hub_core.declare import Column, Task
from hub_core.errors import DataError
from hub_core.tables import Table

TEXT = Column("text", "text", ("text", "sentence"))
PAIR = Column("pair", "text", ("pair", "sentence2"), required=False)
LABEL = Column("label", "label", ("label", "class"), target=True)
SCORE = Column("score", "score", ("score", "label"), target=True)
TOKENS = Column("tokens", "tokens", ("tokens",))
TAGS = Column("tags", "tags", ("tags", "ner_tags"), target=True)
CLASSIFY = (TEXT, PAIR, LABEL)

JSON_HINT = "write one object a line, with the column names as keys"
ROWS_HINT = "correct or remove them; rows are counted from 1 and leave out a header line"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file and return its name, relative to the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(name, content):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return name

    return write


def refused(call, *arguments):
    """Return message and hint of the DataError that a call raises."""
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return caught.value.message, caught.value.hint


def unusable(rows, wanted=CLASSIFY, labels=None):
    """Return the problems that are told about rows, without the heading."""
    table = read_table(rows)
    message, hint = refused(examples_of, table, wanted, columns_of(table, wanted, {}), labels)
    assert hint == ROWS_HINT
    heading, *problems = message.split("\n  - ")
    count = "1 value" if len(problems) == 1 else f"{len(problems)} values"
    assert heading == f"data: {count} cannot be used:"
    return problems


def examples(rows, wanted=CLASSIFY, labels=None):
    table = read_table(rows)
    return examples_of(table, wanted, columns_of(table, wanted, {}), labels)


# -- reading what is right

ROWS = [{"text": "Fine, then", "label": "good"}, {"text": "Bad", "label": "bad"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"Fine, then",good\nBad,bad\n'),
        ("a.CSV", '\ufefftext,label\r\n"Fine, then",good\r\nBad,bad\r\n'),
        ("a.csv", '\n text , label\n\n"Fine, then",good\n\n\nBad,bad'),
        ("a.csv", 'text,label\r"Fine, then",good\rBad,bad\r'),
        ("a.tsv", "text\tlabel\nFine, then\tgood\nBad\tbad\n"),
        ("a.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS)),
        ("a.jsonl", "\ufeff" + "\r\n\r\n".join(json.dumps(row) for row in ROWS)),
        ("a.json", json.dumps(ROWS, indent=2)),
        ("a.json", "".join(json.dumps(row) + "\n" for row in ROWS)),
    ],
)
def test_every_kind_of_file_gives_the_same_rows(write, name, content):
    assert read_table(write(name, content)) == Table(name, ["text", "label"], ROWS)


def test_one_object_over_several_lines_is_one_row(write):
    assert read_table(write("a.json", json.dumps(ROWS[0], indent=1))).rows == ROWS[:1]


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan", "N/A", "true", "1.0", "007", "1e3",
                                  "2020-01-01", "-", "#1", "a\\nb", "  x "])  # fmt: skip
def test_csv_values_stay_the_text_that_they_are(write, word):
    assert read_table(write("a.csv", f"text,label\n{word},{word}\n")).rows == [
        {"text": word, "label": word}
    ]


def test_quoted_values_keep_commas_quotes_and_line_breaks(write):
    name = write("a.csv", 'text,label\n"a ""quoted"", text\nof two lines",1\nb,2\n')
    assert [row["text"] for row in read_table(name).rows] == ['a "quoted", text\nof two lines', "b"]


def test_a_text_longer_than_the_csv_module_allows_is_read_and_the_limit_is_put_back(write):
    before = csv.field_size_limit()
    long = "word " * 60_000
    assert read_table(write("a.csv", f"text\n{long}\n")).rows == [{"text": long}]
    assert csv.field_size_limit() == before


def test_json_values_keep_their_types(write):
    row = {"text": "2020-01-01T00:00:00", "label": 1, "score": 0.5, "tokens": ["a"], "none": None}
    assert read_table(write("a.jsonl", json.dumps(row))).rows == [row]


def test_a_line_separator_inside_of_json_is_no_line_break(write):
    name = write("a.jsonl", '{"text": "one\u2028two"}\n{"text": "three"}\n')
    assert len(read_table(name).rows) == 2


def test_rows_may_lack_keys_and_columns_are_those_of_all_rows():
    table = read_table([{"text": "a"}, {"label": "x", "text": "b"}])
    assert table.columns == ["text", "label"]
    assert unusable([{"text": "a"}, {"label": "x", "text": "b"}]) == [
        "row 1, column 'label': the label is missing"
    ]


def test_several_files_are_one_table_and_rows_are_counted_in_their_own_file(write):
    names = [write("a.csv", "text,label\na,1\nb,2\n"), write("b.jsonl", '{"text":"c","label":"3"}')]
    table = read_table(names)
    assert [row["text"] for row in table.rows] == ["a", "b", "c"]
    assert table.source == "a.csv, b.jsonl"
    columns = {"text": "text", "label": "label"}
    message, _ = refused(examples_of, table, CLASSIFY, columns, ["1", "2", "4"])
    assert message == (
        "a.csv, b.jsonl: 1 value cannot be used:\n"
        "  - b.jsonl, row 1, column 'label': unknown label '3'; the labels are '1', '2', '4'"
    )


def test_files_with_other_columns_do_not_make_a_table(write):
    names = [write("a.csv", "text,label\na,1\n"), write("b.csv", "text,class\nb,1\n")]
    assert refused(read_table, names) == (
        "b.csv and a.csv do not have the same columns: only one of them has 'class', 'label'",
        "give files with the same columns",
    )


def test_a_pandas_data_frame_is_read_with_missing_values_as_missing():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"text": ["a", "b", None], "label": [1, None, 3], 5: [True, False, None]}
    )
    frame["kind"] = pandas.Categorical(["x", None, "y"])
    frame["whole"] = pandas.array([1, None, 2], dtype="Int64")
    assert read_table(frame).rows == [
        {"text": "a", "label": 1.0, "5": True, "kind": "x", "whole": 1},
        {"text": "b", "label": None, "5": False, "kind": None, "whole": None},
        {"text": None, "label": 3.0, "5": None, "kind": "y", "whole": 2},
    ]
    assert examples(frame[:1])[0]["label"] == "1"


def test_a_data_frame_with_two_columns_of_a_name_is_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([["a", "b"]], columns=["text", "text"])
    assert refused(read_table, frame) == (
        "data: several columns are named 'text'",
        "rename one of them",
    )


def test_a_dataset_keeps_the_names_of_its_labels():
    datasets = pytest.importorskip("datasets")
    mood = datasets.ClassLabel(names=["bad", "good"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": mood, "tags": datasets.List(mood)}
    )
    rows = [
        {"text": "a", "label": 1, "tags": [0, 1]},
        {"text": "b", "label": -1, "tags": []},  # how data sets mark what is not labelled
        {"text": "c", "label": None, "tags": None},
    ]
    dataset = datasets.Dataset.from_list(rows, features=features)
    assert read_table(dataset).rows == [
        {"text": "a", "label": "good", "tags": ["bad", "good"]},
        {"text": "b", "label": None, "tags": []},
        {"text": "c", "label": None, "tags": None},
    ]


# -- reading what is wrong


def test_a_missing_file_is_told_with_the_nearest_name(write):
    write("reviews.csv", "text\na\n")
    assert refused(read_table, "revews.csv") == (
        "revews.csv: there is no such file",
        "did you mean 'reviews.csv'?",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xlsx", "a.xlsx: files ending in '.xlsx' cannot be read"),
        ("a", "a: files without an ending cannot be read"),
    ],
)
def test_a_file_of_an_unknown_kind_is_told(write, name, message):
    assert refused(read_table, write(name, "x")) == (
        message,
        "use CSV, TSV, JSONL, Parquet or Arrow",
    )


def test_a_folder_is_told(tmp_path):
    assert refused(read_table, tmp_path) == (
        f"{tmp_path}: is a folder",
        f"name the files in it: {tmp_path}/*.csv",
    )


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_an_empty_file_is_told(write, name, content):
    assert refused(read_table, write(name, content)) == (
        f"{name}: the file is empty",
        "give a file with examples in it",
    )


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "text,label\n"), ("a.tsv", "text\tlabel"), ("a.json", "[]")]
)
def test_a_file_without_rows_is_told(write, name, content):
    assert refused(read_table, write(name, content)) == (
        f"{name}: there are no rows",
        "give data with examples in it",
    )


def test_an_empty_list_is_told():
    assert refused(read_table, []) == ("data: there are no rows", "give data with examples in it")


@pytest.mark.parametrize("source", [3, {"text": "a"}, [1, 2], object()])
def test_data_of_another_type_are_told(source):
    assert refused(read_table, source) == (
        f"data of type {type(source).__name__} cannot be read",
        "give a file name, a datasets.Dataset, a pandas DataFrame or a list of dicts",
    )


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"text,label\nfine,1\ncaf\xe9,2\n", "line 3 is not UTF-8 (byte 4)"),
        (b"text,label\r\n\xe9t\xe9,2\r\n", "line 2 is not UTF-8 (byte 1)"),
        (b"\xef\xbb\xbftext\xff", "line 1 is not UTF-8 (byte 5)"),
        ("text,label".encode("utf-16"), "line 1 is not UTF-8 (byte 1)"),
    ],
)
def test_what_is_not_utf8_is_told_with_its_line(write, content, place):
    assert refused(read_table, write("a.csv", content)) == (
        f"a.csv: {place}",
        "save the file as UTF-8",
    )


def test_rows_with_too_few_or_too_many_values_are_told_with_their_lines(write):
    name = write("a.csv", "text,label\nfine,1\nbad\ntoo, many,1\n\n,,,,\n")
    assert refused(read_table, name) == (
        "a.csv: the header has 2 columns, but\n"
        "  - line 3 has 1 value\n"
        "  - line 4 has 3 values\n"
        "  - line 6 has 5 values",
        "put values that hold a comma or a line break in double quotes",
    )


def test_lines_are_counted_as_an_editor_counts_them(write):
    name = write("a.tsv", 'text\tlabel\n"two\nlines"\t1\nbad\n')
    assert refused(read_table, name) == (
        "a.tsv: the header has 2 columns, but\n  - line 4 has 1 value",
        "put values that hold a tab or a line break in double quotes",
    )


def test_of_many_problems_the_first_ten_are_shown(write):
    message, _ = refused(read_table, write("a.csv", "text,label\n" + "x\n" * 14))
    lines = message.splitlines()
    assert len(lines) == 12
    assert lines[-2:] == ["  - line 11 has 1 value", "  - and 4 more"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('text,label\nfine,1\n"never closed,1\nbad,0\n',
         "a double quote opens in line 3, column 'text', and is never closed"),
        ('text,label\nfine,1\nbad,"0\n',
         "a double quote opens in line 3, column 'label', and is never closed"),
        ('"text,label\nfine,1\n', "a double quote opens in line 1 and is never closed"),
        ('text,label\n"one" more,1\n', "the double quotes in line 2, column 'text', do not match"),
        ('text,label\n"a, b","one" two\n',
         "the double quotes in line 2, column 'label', do not match"),
        ('text,label\n"a ""b"", c\nand" two,1\n',
         "the double quotes in line 3, column 'text', do not match"),
    ],
)  # fmt: skip
def test_broken_quoting_is_told_with_its_line(write, content, problem):
    assert refused(read_table, write("a.csv", content)) == (
        f"a.csv: {problem}",
        "write a double quote inside of a quoted value twice",
    )


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", "text;label\na;1\n", "semicolons, not commas"),
        ("a.csv", "text\tlabel\na\t1\n", "tabs, not commas"),
        ("a.tsv", "text,label\na,1\n", "commas, not tabs"),
    ],
)
def test_another_separator_is_told(write, name, content, problem):
    assert refused(read_table, write(name, content)) == (
        f"{name}: the values stand between {problem}",
        "save it as CSV with commas, or as TSV with tabs",
    )


def test_two_columns_of_one_name_are_told(write):
    assert refused(read_table, write("a.csv", "text,label, text\na,1,b\n")) == (
        "a.csv: line 1: several columns are named 'text'",
        "rename one of them",
    )


def test_columns_without_a_name_are_no_trouble(write):
    """Many programs write the row's number first, under an empty name."""
    assert examples(write("a.csv", ",text,label,\n0,a,x,\n1,b,y,\n")) == [
        {"text": "a", "label": "x"},
        {"text": "b", "label": "y"},
    ]


def test_broken_lines_of_jsonl_are_told(write):
    name = write("a.jsonl", '{"text": "a"}\n{"text": }\n\n{"text": "b"\n[' + "9" * 5000 + "]\n")
    message, hint = refused(read_table, name)
    assert hint == JSON_HINT
    assert message.splitlines()[:3] == [
        "a.jsonl: not every line is JSON:",
        "  - line 2: expecting value in column 10",
        "  - line 4: expecting ',' delimiter in column 13",
    ]
    assert message.splitlines()[3].startswith("  - line 5: Exceeds the limit (4300 digits)")


def test_lines_that_are_no_objects_are_told(write):
    assert refused(read_table, write("a.jsonl", '{"text": "a"}\n["b"]\n"c"\nnull\n')) == (
        "a.jsonl: not everything in it is an object:\n"
        "  - line 2 is ['b']\n"
        "  - line 3 is 'c'\n"
        "  - line 4 is None",
        JSON_HINT,
    )
    assert refused(read_table, write("a.json", '[{"text": "a"}, 3]'))[0] == (
        "a.json: not everything in it is an object:\n  - item 2 is 3"
    )


def test_a_broken_json_document_is_told_with_its_line(write):
    assert refused(read_table, write("a.json", '[\n  {"text": "a"},\n  {"text" "b"}\n]')) == (
        "a.json: line 3: expecting ':' delimiter in column 11",
        JSON_HINT,
    )


def test_json_nested_too_deep_is_told(write):
    message, _ = refused(read_table, write("a.json", "[" * 100_000))
    assert message.startswith("a.json: ")


# -- columns


def table(*columns):
    return Table("a.csv", list(columns), [dict.fromkeys(columns, "x")])


def test_columns_are_found_by_their_usual_names_best_first():
    assert columns_of(table("Sentence", "text", "CLASS"), CLASSIFY, {}) == {
        "text": "text",
        "label": "CLASS",
    }


def test_a_named_column_is_taken_and_no_other_role_takes_it():
    assert columns_of(table("sentence", "sentence2", "y"), CLASSIFY, {"label": "y"}) == {
        "text": "sentence",
        "pair": "sentence2",
        "label": "y",
    }
    assert columns_of(table("text", "sentence", "label"), CLASSIFY, {"pair": "text"}) == {
        "text": "sentence",
        "pair": "text",
        "label": "label",
    }


def test_missing_columns_are_told_with_those_that_are_there():
    assert refused(columns_of, table("review", "stars"), CLASSIFY, {}) == (
        "a.csv: no column 'text' for text; no column 'label' for label (columns: review, stars)",
        'say which column it is: --column text=NAME, or columns = { text = "NAME" } in the recipe',
    )


def test_a_named_column_that_is_not_there_is_told_with_the_nearest():
    assert refused(columns_of, table("review", "label"), CLASSIFY, {"text": "reviews"}) == (
        "a.csv: no column 'reviews' for text (columns: review, label)",
        "did you mean 'review'?",
    )


def test_an_optional_column_must_be_there_if_it_is_named():
    message, _ = refused(columns_of, table("text", "label"), CLASSIFY, {"pair": "other"})
    assert message == "a.csv: no column 'other' for pair (columns: text, label)"


@pytest.mark.parametrize(
    ("role", "hint"), [("lable", "did you mean 'label'?"), ("x", "it reads label, pair, text")]
)
def test_a_role_that_the_head_does_not_read_is_told(role, hint):
    assert refused(columns_of, table("text"), CLASSIFY, {role: "text"}) == (
        f"this head reads no '{role}'",
        hint,
    )


# -- checking values


@pytest.mark.parametrize("text", ["NA", "null", "nan", "  padded ", "0", "é", "\U0001f600"])
def test_every_text_is_kept_as_it_is(text):
    assert examples([{"text": text, "label": "x"}])[0]["text"] == text


@pytest.mark.parametrize("text", [None, "", "  \n", float("nan")])
def test_a_missing_text_is_told(text):
    rows = [{"text": "a", "label": "x"}, {"text": text, "label": "x"}]
    assert unusable(rows) == ["row 2, column 'text': the text is missing"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (3, "3 is not text"),
        (["a"], "['a'] is not text"),
        (True, "True is not text"),
        ({"a": "b" * 99}, "{'a': '" + "b" * 53 + "… is not text"),
        ("\ud83d", "the text holds half a letter, '\\ud83d'"),
    ],
)
def test_what_is_no_text_is_told(text, problem):
    assert unusable([{"text": text, "label": "x"}]) == [f"row 1, column 'text': {problem}"]


@pytest.mark.parametrize(
    ("value", "label"),
    [("good", "good"), (" good ", "good"), ("1", "1"), ("1.0", "1.0"), (1, "1"), (1.0, "1"),
     (-1, "-1"), (True, "1"), (False, "0"), ("NA", "NA"), ("null", "null"),
     (10**400, "1" + "0" * 400)],
)  # fmt: skip
def test_labels_are_names(value, label):
    assert examples([{"text": "a", "label": value}])[0]["label"] == label


def test_labels_of_numpy_are_names_too():
    numpy = pytest.importorskip("numpy")
    values = [numpy.int64(2), numpy.float32(2.0), numpy.str_("2")]
    found = [examples([{"text": "a", "label": value}])[0]["label"] for value in values]
    assert found == ["2", "2", "2"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "the label is missing"),
        (" ", "the label is missing"),
        (float("nan"), "the label is missing"),
        (0.5, "0.5 is a number, not a label"),
        (math.inf, "inf is a number, not a label"),
        (["good"], "['good'] is not a label"),
        ("goood", "unknown label 'goood'; did you mean 'good'?"),
        ("Good", "unknown label 'Good'; did you mean 'good'?"),
        ("x", "unknown label 'x'; the labels are 'good', 'bad'"),
        (7, "unknown label '7'; the labels are 'good', 'bad'"),
        ("w" * 80, f"unknown label '{'w' * 59}…; the labels are 'good', 'bad'"),
    ],
)
def test_unusable_labels_are_told(value, problem):
    rows = [{"text": "a", "label": "good"}, {"text": "b", "label": value}]
    assert unusable(rows, labels=["good", "bad"]) == [f"row 2, column 'label': {problem}"]


@pytest.mark.parametrize(
    ("value", "score"), [("1.5", 1.5), (" -2 ", -2.0), (3, 3.0), ("1e-3", 1e-3)]
)
def test_scores_are_numbers(value, score):
    assert examples([{"text": "a", "score": value}], (TEXT, SCORE))[0]["score"] == score


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "the score is missing"),
        ("", "the score is missing"),
        (float("nan"), "the score is missing"),
        ("nan", "'nan' is not a finite number"),
        ("-inf", "'-inf' is not a finite number"),
        (math.inf, "inf is not a finite number"),
        ("1,5", "'1,5' is not a number"),
        ("five stars", "'five stars' is not a number"),
        ([1.0], "[1.0] is not a number"),
        (10**400, "1" + "0" * 59 + "… is not a number"),
    ],
)
def test_unusable_scores_are_told(value, problem):
    rows = [{"text": "a", "score": 1}, {"text": "b", "score": value}]
    assert unusable(rows, (TEXT, SCORE)) == [f"row 2, column 'score': {problem}"]


def test_lists_of_words_and_labels():
    row = {"tokens": ["A", "b"], "tags": [0, 1]}
    assert examples([row], (TOKENS, TAGS)) == [{"tokens": ["A", "b"], "tags": ["0", "1"]}]


def test_arrays_of_words_in_a_data_frame():
    numpy = pytest.importorskip("numpy")
    row = {"tokens": numpy.array(["A", "b"], dtype=object), "tags": numpy.array([0, 1])}
    assert examples([row], (TOKENS, TAGS)) == [{"tokens": ["A", "b"], "tags": ["0", "1"]}]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"tokens": "a b", "tags": ["x"]}, "column 'tokens': 'a b' is not a list of words"),
        ({"tokens": [], "tags": ["x"]}, "column 'tokens': [] is not a list of words"),
        ({"tokens": ["a", None], "tags": ["x"]}, "column 'tokens': the text is missing"),
        ({"tokens": ["a"], "tags": None}, "column 'tags': None is not a list of labels"),
        ({"tokens": ["a"], "tags": ["z"]},
         "column 'tags': unknown label 'z'; the labels are 'x', 'y'"),
    ],
)  # fmt: skip
def test_unusable_lists_are_told(row, problem):
    assert unusable([row], (TOKENS, TAGS), ["x", "y"]) == [f"row 1, {problem}"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["good", 1], "1 is a number, but row 1 holds a text"),
        ([1, "good"], "'good' is a text, but row 1 holds a number"),
        ([0, "1"], "'1' is a text, but row 1 holds a number"),
        ([1, True], "True is a truth value, but row 1 holds a number"),
    ],
)
def test_labels_of_two_sorts_are_told_because_one_of_them_would_be_cast(values, problem):
    rows = [{"text": "a", "label": value} for value in values]
    assert unusable(rows) == [f"row 2, column 'label': {problem}"]


def test_scores_of_two_sorts_and_truth_values_are_told():
    rows = [{"text": "a", "score": value} for value in (1.5, 2, "3", True)]
    assert unusable(rows, (TEXT, SCORE)) == [
        "row 3, column 'score': '3' is a text, but row 1 holds a number",
        "row 4, column 'score': True is not a number",
    ]


def test_a_list_of_two_sorts_is_told():
    assert unusable([{"tokens": ["a", "b"], "tags": ["x", 1]}], (TOKENS, TAGS)) == [
        "row 1, column 'tags': ['x', 1] mixes numbers with texts"
    ]


def test_two_files_may_write_labels_in_two_ways(write):
    names = [write("a.csv", "text,label\na,1\n"), write("b.jsonl", '{"text":"b","label":1}')]
    found = read_table(names)
    columns = {"text": "text", "label": "label"}
    labels = [example["label"] for example in examples_of(found, CLASSIFY, columns, None)]
    assert labels == ["1", "1"]


def test_everything_wrong_in_a_file_is_told_with_file_row_and_column(write):
    lines = ["Review,stars", "Fine,good", ",bad", "Bad,", *["Fine,god"] * 12]
    found = read_table(write("a.csv", "\n".join(lines)))
    columns = columns_of(found, CLASSIFY, {"text": "Review", "label": "stars"})
    message, hint = refused(examples_of, found, CLASSIFY, columns, ["good", "bad"])
    assert hint == ROWS_HINT
    assert message.splitlines()[:4] == [
        "a.csv: 14 values cannot be used:",
        "  - row 2, column 'Review': the text is missing",
        "  - row 3, column 'stars': the label is missing",
        "  - row 4, column 'stars': unknown label 'god'; did you mean 'good'?",
    ]
    assert message.splitlines()[-1] == "  - and 4 more"


# -- labels


@pytest.mark.parametrize(
    ("found", "order"),
    [
        (["10", "9", "2"], ("2", "9", "10")),
        (["1", "0", "-1"], ("-1", "0", "1")),
        (["b", "10", "a", "2"], ("2", "10", "a", "b")),
        (["9999999999", "10000000000"], ("9999999999", "10000000000")),
        (["²", "3"], ("3", "²")),
        (["1.5", "1.0"], ("1.0", "1.5")),
    ],
)
def test_labels_are_sorted_and_numbers_by_value(found, order):
    assert labels_in([{"label": name} for name in found], CLASSIFY) == order


def test_labels_of_words_are_all_found():
    found = [{"tags": ["b", "a"]}, {"tags": ["c", "a"]}, {}]
    assert labels_in(found, (TOKENS, TAGS)) == ("a", "b", "c")


def test_a_head_without_labels_has_none():
    assert labels_in([{"text": "a", "score": 1.0}], (TEXT, SCORE)) == ()


# -- splits


def labelled(**counts):
    names = [name for name, count in counts.items() for _ in range(count)]
    return [{"text": f"text {number}", "label": name} for number, name in enumerate(names)]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_split_keeps_the_shares_of_the_labels(seed):
    left, taken = split_off(labelled(a=600, b=300, c=100), 0.1, "label", seeded(seed))
    assert len(left) == 900
    for name, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
        assert shares(taken, "label")[name] == pytest.approx(share, abs=0.011)
        assert shares(left, "label")[name] == pytest.approx(share, abs=0.002)


def test_a_split_loses_and_doubles_nothing_and_keeps_the_order():
    whole = labelled(a=37, b=5, c=1)
    left, taken = split_off(whole, 0.3, "label", seeded())
    assert len(taken) == 13
    assert [example for example in whole if example in left] == left
    assert [example for example in whole if example in taken] == taken
    assert sorted(e["text"] for e in left + taken) == sorted(e["text"] for e in whole)


def test_many_small_labels_are_not_all_rounded_away():
    whole = [{"text": str(number), "label": str(number // 3)} for number in range(300)]
    _, taken = split_off(whole, 0.1, "label", seeded())
    assert len(taken) == 30


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    whole = labelled(a=50, b=50)
    first = split_off(whole, 0.2, "label", seeded(1))
    assert split_off(whole, 0.2, "label", seeded(1)) == first
    assert split_off(whole, 0.2, "label", seeded(2)) != first


def test_examples_without_labels_are_split_too():
    whole = [{"text": str(number), "score": float(number)} for number in range(50)]
    left, taken = split_off(whole, 0.1, "", seeded())
    assert (len(left), len(taken)) == (45, 5)


def test_overlap_counts_inputs_that_training_has_seen_whatever_their_labels():
    train = [{"text": "a", "label": "x"}, {"text": "b", "label": "x"}]
    test = [{"text": "a", "label": "y"}, {"text": "c", "label": "x"}, {"text": "a", "label": "x"}]
    assert overlap(train, test, CLASSIFY) == 2


def test_a_fingerprint_is_that_of_the_examples_in_order():
    def fingerprint(*found):
        return TaskData(Task("t"), {"train": found}).fingerprint("train")

    first, second = {"text": "é", "label": "x"}, {"label": "x", "text": "b"}
    assert fingerprint(first, second) == fingerprint({"label": "x", "text": "é"}, second)
    assert fingerprint(first, second) != fingerprint(second, first)


# -- batches


def rows_of(*lengths):
    return [SimpleNamespace(length=length, number=n) for n, length in enumerate(lengths)]


LENGTHS = torch.randint(1, 60, (300,), generator=torch.Generator().manual_seed(3)).tolist()


@pytest.mark.parametrize("generator", [None, seeded()])
def test_batches_keep_the_budget_and_hold_every_row_once(generator):
    rows = rows_of(*LENGTHS)
    batches = batches_of(rows, 256, 16, generator)
    for batch in batches:
        assert len(batch) <= 16
        assert max(row.length for row in batch) * len(batch) <= 256
    assert sorted(row.number for batch in batches for row in batch) == list(range(300))


def test_every_epoch_has_as_many_batches_in_another_order():
    rows = rows_of(*LENGTHS)
    epochs = [batches_of(rows, 256, 16, seeded(epoch)) for epoch in range(6)]
    assert len({len(batches) for batches in epochs}) == 1
    orders = {tuple(row.number for batch in batches for row in batch) for batches in epochs}
    assert len(orders) == 6


def test_the_same_generator_gives_the_same_batches():
    rows = rows_of(*LENGTHS)
    assert batches_of(rows, 256, 16, seeded(4)) == batches_of(rows, 256, 16, seeded(4))


def test_a_row_longer_than_the_budget_is_a_batch_of_its_own():
    batches = batches_of(rows_of(3, 500, 2, 300), 256, 16)
    assert [[row.length for row in batch] for batch in batches] == [[2, 3], [300], [500]]


def test_rows_of_a_batch_are_of_similar_length():
    padding = sum(
        max(row.length for row in batch) * len(batch) - sum(row.length for row in batch)
        for batch in batches_of(rows_of(*LENGTHS), 256, 16, seeded())
    )
    assert padding < 0.1 * sum(LENGTHS)


def test_no_rows_make_no_batches():
    assert batches_of([], 256, 16, seeded()) == []
