"""What is ignored, what goes the large way, what a card may say, and who changed what."""

import pytest
from huggingface_hub import CommitOperationAdd, constants
from huggingface_hub.utils import httpx

from hub_server.patterns import ignored, large


@pytest.mark.parametrize(("text", "path", "wanted"), [
    ("*.log", "a.log", True), ("*.log", "x/y/a.log", True), ("*.log", "a.logs", False),
    ("/a.log", "a.log", True), ("/a.log", "x/a.log", False), ("x/a.log", "y/x/a.log", False),
    ("nested/*", "nested/a/b", True), ("build/", "build/a", True), ("build/", "build", False),
    ("build/", "x/build/a", True), ("**/a", "x/y/a", True), ("x/**", "x/y/a", True),
    ("x/**", "x", False), ("x/**/a", "x/a", True), ("x/**/a", "x/y/z/a", True),
    ("*\n!keep.txt", "keep.txt", False), ("*\n!keep.txt", "a.txt", True), ("# a\n\na", "a", True),
    ("a?c", "abc", True), ("a?c", "a/c", False), ("[ab].txt", "b.txt", True),
    ("[!ab].txt", "b.txt", False), ("[a-c].txt", "b.txt", True), ("\\*.txt", "a.txt", False),
    ("\\*.txt", "*.txt", True), ("a*b*c", "aXbYc", True), ("a*b*c", "aXcYb", False),
    ("*a", "aa", True), ("a*a", "a", False), ("", "a", False),
])  # fmt: skip
def test_patterns_leave_out_what_git_leaves_out(text, path, wanted):
    assert ignored(text, path) is wanted


def test_a_hostile_pattern_costs_little():
    assert not ignored("a" + "*a" * 140 + "b", "a" * 250)


@pytest.mark.parametrize(("text", "path", "wanted"), [
    ("*.png filter=lfs diff=lfs merge=lfs -text", "x/a.png", True), ("*.png text", "a.png", None),
    ("*.bin filter=lfs\nsmall.bin -filter", "small.bin", False), ("*.png filter=lfs", "a", None),
])  # fmt: skip
def test_attributes_send_files_the_large_way(text, path, wanted):
    assert large(text, path) is wanted


@pytest.fixture
def folder(tmp_path):
    """Give a folder with a file to ignore and one to keep."""
    here = tmp_path / "mood"
    here.mkdir()
    for name, text in ((".gitignore", "*.log\n"), ("a.log", "x"), ("a.txt", "x")):
        (here / name).write_text(text)
    return here


def test_a_folder_is_pushed_without_what_it_ignores(api, folder):
    api.create_repo("team/mood")
    api.upload_folder(repo_id="team/mood", folder_path=folder)
    assert api.list_repo_files("team/mood") == [".gitattributes", ".gitignore", "a.txt"]


def test_faults_of_a_card_are_named_all_at_once(server):
    content = "\n---\nmodel-index: foo\nlanguage: {}\nlibrary_name: 3\n---\n"
    answer = httpx.post(f"{server.url}/api/validate-yaml", json={"content": content})
    assert answer.status_code == 400
    assert [fault["message"] for fault in answer.json()["errors"]] == [
        '"model-index" must be an array',
        '"library_name" must be a string',
        '"language" must be a string or an array of strings',
    ]


def test_each_file_shows_the_commit_that_last_changed_it(api):
    api.create_repo("team/mood")
    for title, names in (("one", ["a.txt", "sub/b.txt"]), ("two", ["sub/c.txt"])):
        add = [CommitOperationAdd(path_in_repo=n, path_or_fileobj=title.encode()) for n in names]
        api.create_commit("team/mood", add, commit_message=title)
    tree = api.list_repo_tree("team/mood", recursive=True, expand=True)
    assert {item.path: item.last_commit.title for item in tree} == {
        ".gitattributes": "initial commit", "a.txt": "one", "sub": "two", "sub/b.txt": "one",
        "sub/c.txt": "two",
    }  # fmt: skip
    [one] = api.get_paths_info("team/mood", ["a.txt"], expand=True)
    assert one.last_commit.title == "one"


def test_a_pull_request_is_opened_first_and_filled_then_with_xet_on(api, monkeypatch, folder):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    api.create_repo("team/mood")
    api.upload_folder(repo_id="team/mood", folder_path=folder, create_pr=True)
    empty = api.create_pull_request("team/mood", title="  Nothing yet ")
    assert (empty.num, empty.title, empty.status) == (2, "Nothing yet", "open")
    assert empty.target_branch == "refs/heads/main"
    assert [one.num for one in api.get_repo_discussions("team/mood")] == [2, 1]
    assert "a.txt" in api.list_repo_files("team/mood", revision="refs/pr/1")
    assert api.list_repo_files("team/mood") == [".gitattributes"]
    answer = httpx.post(f"{api.endpoint}/api/models/team/mood/discussions", json={"title": "talk"})
    assert (answer.status_code, answer.headers["x-error-code"]) == (404, "NotImplemented")


def test_a_folder_is_deleted_by_its_plain_name(api):
    api.create_repo("team/mood")
    add = [CommitOperationAdd(path_in_repo=n, path_or_fileobj=b"x") for n in ("a/b", "ab")]
    api.create_commit("team/mood", add, commit_message="put")
    api.delete_file("a", "team/mood")
    assert api.list_repo_files("team/mood") == [".gitattributes", "ab"]
