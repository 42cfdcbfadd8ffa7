"""``hub data check`` says what data hold, and names everything that training would refuse."""

import json

import pytest

from hub_core.catalog import installed
from hub_core.cli import main
from hub_core.survey import survey


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


def look(*files, **settings):
    return survey(files, installed(), **settings)


ROWS = [
    {"id": 1, "text": "A fine film.", "label": "good"},
    {"id": 2, "text": "Dull", "label": "bad"},
    {"id": 3, "text": "A fine film.", "label": "good"},
    {"id": 4, "text": "Dull", "label": "good"},
    {"id": "5", "text": " ", "label": "bad"},
    {"id": 6, "text": "A long and very very sad day", "label": "bad"},
    {"id": 7, "text": "Fine", "label": None},
]


def test_the_whole_report_reads_well(here, capsys):
    write(here / "a.jsonl", ROWS)
    write(here / "t.jsonl", [{"id": 1, "text": "Dull", "label": "baad"}, ROWS[5], ROWS[1]])
    assert main(["data", "check", "a.jsonl", "--test", "t.jsonl"]) == 1
    assert (
        capsys.readouterr().out
        == """\
a.jsonl: 7 rows, read for classification; --head chooses another

column  type                    empty  read as
id      6 whole number, 1 text      0  -
text    text                        1  text
label   text                        1  label

label  examples   share
good          3  60.0 %  ##############################
bad           2  40.0 %  ####################
Labels with fewer than 5 training examples are hardly learned: 'bad' (2), 'good' (3).

words in text: 1 to 7; half up to 3, 95 % up to 7
       1  2  ##############################
       2  0
  3 to 4  2  ##############################
  5 to 7  1  ###############

characters in text: 4 to 28; half up to 12, 95 % up to 28

1 duplicate of an earlier row
1 row like an earlier one, but with another target
  - row 2 has 'bad', row 4 has 'good': 'Dull'
2 of 3 test rows in t.jsonl are among the data too

3 rows would be refused:
  - a.jsonl, row 5, column 'text': the text is missing
  - a.jsonl, row 7, column 'label': the label is missing
  - t.jsonl, row 1, column 'label': unknown label 'baad'; did you mean 'bad'?
"""
    )


def test_good_data_are_told_to_be_good(here, capsys):
    write(here / "a.jsonl", ROWS[:2])
    assert main(["data", "check", "a.jsonl", "--head", "classification"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "a.jsonl: 2 rows, read for classification"
    assert told[-1] == "No row would be refused."


def test_json_holds_all_of_it(here, capsys):
    write(here / "a.jsonl", ROWS)
    assert main(["data", "check", "a.jsonl", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    types = {"whole number": 6, "text": 1}
    assert told["columns"][0] == {"name": "id", "types": types, "missing": 0, "role": ""}
    assert (told["rows"], told["refused_rows"], told["usable"]) == (7, 2, False)
    assert told["refusals"] == [
        "row 5, column 'text': the text is missing",
        "row 7, column 'label': the label is missing",
    ]
    assert told["labels"] == {"bad": 2, "good": 3}
    assert told["lengths"][0]["histogram"] == [[1, 1, 2], [2, 2, 0], [3, 4, 2], [5, 7, 1]]


@pytest.mark.parametrize(
    ("row", "head"),
    [
        ({"text": "a", "label": "x"}, "classification"),
        ({"text": "a", "score": 0.5}, "regression"),
        ({"text": "a", "label": 0.5}, "regression"),
        ({"text": "a", "labels": ["x", "y"]}, "multi-label"),
        ({"tokens": ["a"], "tags": ["x"]}, "toy-tags"),
        ({"text": "a", "answer": "b"}, "toy-generate"),
    ],
)
def test_the_head_that_fits_is_found(here, row, head):
    assert look(write(here / "a.jsonl", [row, row])).head == head


def test_options_of_the_head_are_set_as_in_training(here, capsys):
    (here / "a.csv").write_text("text,labels\na,x;y\nb,\nc,y\nd,x\n")
    setting = ["--head", "multi-label", "--set", "multi-label.separator=;"]
    assert main(["data", "check", "a.csv", *setting, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == {"x": 2, "y": 2}
    assert main(["data", "check", "a.csv", *setting]) == 0
    assert "x             2  50.0 %  ####" in capsys.readouterr().out
    assert main(["data", "check", "a.csv", *setting[2:]]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "Error: --set needs --head"


def test_where_no_head_fits_it_is_told(here, capsys):
    write(here / "a.jsonl", [{"review": "a", "stars": 1}])
    assert main(["data", "check", "a.jsonl"]) == 1
    assert capsys.readouterr().err == (
        "Error: a.jsonl: no installed head finds its columns (columns: review, stars)\n"
        "Hint: say which ones to read: --head METHOD --column ROLE=NAME; "
        "'hub methods --kind head' lists heads\n"
    )
    assert main(["data", "check", "a.jsonl", "--column", "text=review", "--column",
                 "score=stars"]) == 0  # fmt: skip


def test_what_the_head_refuses_as_a_whole_is_told(here, capsys):
    write(here / "a.jsonl", ROWS[:1])
    assert main(["data", "check", "a.jsonl", "--head", "classification"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Training would be refused: task data: the data have only the label 'good', "
        "classification needs two or more"
    )


def test_tokens_are_counted_as_the_backbone_reads_them(here, capsys):
    write(here / "a.jsonl", ROWS[:4])
    assert main(["data", "check", "a.jsonl", "--backbone", "toy-encoder"]) == 0
    assert "\ntokens in input: 1 to 3; half up to 1, 95 % up to 3\n" in capsys.readouterr().out


def test_rows_of_several_files_are_counted_in_their_own(here):
    write(here / "a.jsonl", ROWS[:2])
    write(here / "b.jsonl", [{"id": 9, "text": "Dull", "label": "good"}, ROWS[4]])
    found = look("*.jsonl")
    assert found.contradictions == ["a.jsonl, row 2 has 'bad', b.jsonl, row 1 has 'good': 'Dull'"]
    assert found.refusals == ["b.jsonl, row 2, column 'text': the text is missing"]


def test_many_labels_and_problems_are_cut_off_but_counted(here, capsys):
    rows = [{"text": f"text {number}", "label": f"{number:02}"} for number in range(30)]
    write(here / "a.jsonl", [*rows, *[{"text": "", "label": "00"}] * 12])
    assert main(["data", "check", "a.jsonl"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert "and 10 more with 1 or fewer" in told
    assert told[-12:-9] == [
        "12 rows would be refused:",
        "  - row 31, column 'text': the text is missing",
        "  - row 32, column 'text': the text is missing",
    ]
    assert told[-1] == "  - and 2 more"


def test_a_damaged_file_is_one_sentence(here, capsys):
    (here / "a.csv").write_text('text,label\n"a,x\n')
    assert main(["data", "check", "a.csv"]) == 1
    assert capsys.readouterr().err == (
        "Error: a.csv: a double quote opens in line 2, column 'text', and is never closed\n"
        "Hint: write a double quote inside of a quoted value twice\n"
    )


def test_data_larger_than_the_limit_are_surveyed_alike(here):
    write(here / "a.jsonl", ROWS)
    inside = look("a.jsonl")
    assert look("a.jsonl", limit=1) == inside
