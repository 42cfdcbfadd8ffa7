"""The real client of the Hub pushes to and pulls from the server."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx

CARD = """---
license: mit
tags: [mood]
language: en
datasets: [team/texts]
base_model: team/base
pipeline_tag: text-classification
---
# Mood
"""


@pytest.fixture
def folder(tmp_path):
    here = tmp_path / "model"
    (here / "sub").mkdir(parents=True)
    (here / "model.safetensors").write_bytes(os.urandom(300_000))
    (here / "sub" / "config.json").write_text("{}")
    (here / "README.md").write_text(CARD)
    return here


def add(name, content=b"text"):
    return CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)


def put(api, name="a.txt", content=b"text", **more):
    return api.create_commit("team/mood", [add(name, content)], commit_message="put", **more)


def status(call):
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    return caught.value.response.status_code


def test_a_folder_is_pushed_and_pulled_at_its_commit(api, folder, tmp_path):
    api.create_repo("team/mood")
    pushed = api.upload_folder(repo_id="team/mood", folder_path=folder)
    api.upload_file(repo_id="team/mood", path_or_fileobj=b"later", path_in_repo="later.txt")
    here = Path(api.snapshot_download("team/mood", revision=pushed.oid, cache_dir=tmp_path / "c"))
    assert here.name == pushed.oid
    files = {p.relative_to(here).as_posix(): p.read_bytes() for p in here.rglob("*") if p.is_file()}
    wanted = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    assert files.pop(".gitattributes")
    assert files == wanted
    one = api.hf_hub_download("team/mood", "later.txt", cache_dir=tmp_path / "d")
    assert Path(one).read_bytes() == b"later"


def test_a_large_file_is_sent_once(api, folder, server):
    api.create_repo("team/mood")
    api.upload_folder(repo_id="team/mood", folder_path=folder)
    before = api.model_info("team/mood").sha
    api.upload_folder(repo_id="team/mood", folder_path=folder)
    assert api.model_info("team/mood").sha == before
    info = api.model_info("team/mood", files_metadata=True)
    [large] = [file for file in info.siblings if file.lfs]
    assert large.rfilename == "model.safetensors"
    assert large.size == 300_000
    assert (server.folder / "blobs" / large.lfs.sha256[:2] / large.lfs.sha256[2:4]
            / large.lfs.sha256).is_file()  # fmt: skip


def test_of_eight_commits_on_one_parent_one_wins(api):
    api.create_repo("team/mood")
    parent = api.model_info("team/mood").sha

    def one(number):
        try:
            return put(api, f"{number}.txt", parent_commit=parent).oid
        except HfHubHTTPError as error:
            return error.response.status_code

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(one, range(8)))
    assert ends.count(412) == 7
    assert api.model_info("team/mood").sha in ends
    assert len(api.list_repo_commits("team/mood")) == 2


def test_commits_without_a_parent_all_follow_each_other(api):
    api.create_repo("team/mood")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: put(api, f"{n}.txt"), range(8)))
    assert len(api.list_repo_commits("team/mood")) == 9
    assert len(api.list_repo_files("team/mood")) == 9


def test_of_eight_that_make_a_repository_one_does(api):
    def one(_):
        try:
            api.create_repo("team/mood")
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, range(8))) == [200] + [409] * 7
    assert api.create_repo("team/mood", exist_ok=True).repo_id == "team/mood"


def test_models_are_found_by_words_tags_and_author(api, folder):
    for name in ("team/mood", "team/topic", "other/mood"):
        api.create_repo(name)
    api.upload_folder(repo_id="team/mood", folder_path=folder)

    def found(**question):
        return sorted(model.id for model in api.list_models(**question))

    assert found() == ["other/mood", "team/mood", "team/topic"]
    assert found(search="mood") == ["other/mood", "team/mood"]
    assert found(author="team") == ["team/mood", "team/topic"]
    assert found(search="%") == []
    for tag in ("mood", "license:mit", "en", "dataset:team/texts", "base_model:team/base",
                "safetensors", "text-classification"):  # fmt: skip
        assert found(filter=tag) == ["team/mood"], tag
    assert found(filter=["mood", "nothing"]) == []
    assert found(pipeline_tag="text-classification") == ["team/mood"]
    assert [m.id for m in api.list_models(sort="last_modified", limit=1)] == ["team/mood"]
    assert api.model_info("team/mood").card_data.license == "mit"


def test_branches_and_tags(api):
    api.create_repo("team/mood")
    first = put(api, content=b"one").oid
    api.create_tag("team/mood", tag="v1")
    api.create_branch("team/mood", branch="try/it", revision="v1")
    put(api, content=b"two", revision="try/it")
    assert api.model_info("team/mood", revision="v1").sha == first
    assert api.model_info("team/mood", revision=first[:10]).sha == first
    assert api.model_info("team/mood", revision="try/it").sha != first
    refs = api.list_repo_refs("team/mood")
    assert [ref.ref for ref in refs.branches] == ["refs/heads/main", "refs/heads/try/it"]
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", first)]
    assert status(lambda: api.create_tag("team/mood", tag="v1")) == 409
    assert status(lambda: api.create_branch("team/mood", branch="refs/x")) == 400
    assert status(lambda: api.delete_branch("team/mood", branch="main")) == 403
    api.delete_branch("team/mood", branch="try/it")
    api.delete_tag("team/mood", tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("team/mood", revision="v1")


def test_trees_and_paths(api, folder):
    api.create_repo("team/mood")
    api.upload_folder(repo_id="team/mood", folder_path=folder)
    top = {item.path for item in api.list_repo_tree("team/mood")}
    assert top == {".gitattributes", "README.md", "model.safetensors", "sub"}
    below = [item.path for item in api.list_repo_tree("team/mood", "sub", recursive=True)]
    assert below == ["sub/config.json"]
    known = api.get_paths_info("team/mood", ["sub", "model.safetensors", "absent"])
    assert {item.path for item in known} == {"sub", "model.safetensors"}
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("team/mood", "absent"))


def test_files_are_deleted(api, folder):
    api.create_repo("team/mood")
    api.upload_folder(repo_id="team/mood", folder_path=folder)
    delete = [CommitOperationDelete("README.md"), CommitOperationDelete("sub/", is_folder=True)]
    api.create_commit("team/mood", delete, commit_message="less")
    assert api.list_repo_files("team/mood") == [".gitattributes", "model.safetensors"]
    again = [CommitOperationDelete("README.md")]
    with pytest.raises(EntryNotFoundError):
        api.create_commit("team/mood", again, commit_message="again")


def test_a_pull_request_leaves_the_branch_alone(api):
    api.create_repo("team/mood")
    before = api.model_info("team/mood").sha
    made = put(api, "new.txt", create_pr=True)
    assert made.pr_num == 1
    assert made.pr_revision == "refs/pr/1"
    assert api.model_info("team/mood").sha == before
    assert "new.txt" in api.list_repo_files("team/mood", revision="refs/pr/1")


def test_an_interrupted_download_goes_on_where_it_was(api, server):
    api.create_repo("team/mood")
    content = os.urandom(100_000)
    put(api, "model.safetensors", content)
    url = f"{server.url}/team/mood/resolve/main/model.safetensors"
    head = httpx.head(url)
    assert head.headers["content-length"] == "100000"
    assert len(head.headers["etag"].strip('"')) == 64
    rest = httpx.get(url, headers={"Range": "bytes=60000-"})
    assert rest.status_code == 206
    assert rest.content == content[60_000:]
    assert httpx.get(url, headers={"Range": "bytes=100000-"}).status_code == 416


def test_what_is_absent_is_named(api, tmp_path):
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("team/absent")
    api.create_repo("team/mood")
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download("team/mood", "a.txt", revision="absent", cache_dir=tmp_path)
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("team/mood", "a.txt", cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download("bert-base-uncased", "config.json", cache_dir=tmp_path)


@pytest.mark.parametrize("name", ["tree", "revision", "commits", "resolve", "refs"])
def test_a_repository_may_have_the_name_of_a_call(api, name, tmp_path):
    repo = f"team/{name}"
    api.create_repo(repo)
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["initial commit"]
    assert api.list_repo_files(repo) == [".gitattributes"]
    assert api.repo_info(repo, revision="main").sha == api.model_info(repo).sha
    assert api.hf_hub_download(repo, ".gitattributes", cache_dir=tmp_path)


def test_a_repository_is_deleted_and_its_name_is_free(api, folder):
    api.create_repo("team/mood")
    api.upload_folder(repo_id="team/mood", folder_path=folder)
    api.delete_repo("team/mood")
    assert not api.repo_exists("team/mood")
    api.delete_repo("team/mood", missing_ok=True)
    api.create_repo("team/mood")
    assert api.list_repo_files("team/mood") == [".gitattributes"]


def test_a_moved_repository_is_found_by_its_old_name(api, server):
    api.create_repo("team/mood")
    put(api)
    api.move_repo("team/mood", "team/feeling")
    assert api.model_info("team/mood").id == "team/feeling"
    api.create_tag("team/mood", tag="v/1")
    url = f"{server.url}/team/mood/resolve/v%2F1/a.txt"
    assert httpx.get(url, follow_redirects=True).content == b"text"


@pytest.mark.parametrize(("method", "path", "target"), [
    ("GET", "/api/models/team/mood?blobs=true", "/api/models/team/feeling?blobs=true"),
    ("GET", "/api/models/team/mood/tree/a%2Fb", "/api/models/team/feeling/tree/a%2Fb"),
    ("POST", "/api/models/team/mood/super-squash/main",
     "/api/models/team/feeling/super-squash/main"),
    ("HEAD", "/team/mood/resolve/main/a.txt", "/team/feeling/resolve/main/a.txt"),
    ("POST", "/team/mood.git/info/lfs/verify", "/team/feeling/info/lfs/verify"),
])  # fmt: skip
def test_every_address_of_a_moved_repository_leads_to_the_new_one(
    api, server, method, path, target
):
    api.create_repo("team/mood")
    api.move_repo("team/mood", "team/sentiment")
    api.move_repo("team/sentiment", "team/feeling")
    answer = httpx.request(method, server.url + path)
    assert (answer.status_code, answer.headers["location"]) == (307, server.url + target)


def test_a_broken_card_is_refused_before_the_upload(api):
    api.create_repo("team/mood")
    for card in (b"---\ntags: [\n---\n", b"---\na: &a [1]\nb: [*a]\n---\n"):
        with pytest.raises(ValueError, match="card's header is not YAML"):
            put(api, "README.md", card)


def test_data_sets_have_a_place_of_their_own(api, folder, tmp_path):
    api.create_repo("team/mood")
    api.create_repo("team/mood", repo_type="dataset")
    api.upload_folder(repo_id="team/mood", folder_path=folder, repo_type="dataset")
    api.snapshot_download("team/mood", repo_type="dataset", cache_dir=tmp_path / "c")
    assert api.list_repo_files("team/mood") == [".gitattributes"]


def test_the_hf_command_works_with_the_printed_lines(server, folder, tmp_path):
    environment = os.environ | {
        "HF_ENDPOINT": server.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0", "HF_TOKEN": "any", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    }  # fmt: skip

    def hf(*arguments):
        command = [sys.executable, "-m", "huggingface_hub.cli.hf", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    hf("repos", "create", "team/mood")
    hf("upload", "team/mood", str(folder))
    hf("download", "team/mood", "--local-dir", str(tmp_path / "got"))
    assert (tmp_path / "got" / "README.md").read_text() == CARD
    assert "local" in hf("auth", "whoami")
    assert "team/mood" in hf("models", "ls", "--quiet")


def test_a_history_becomes_one_commit(api):
    api.create_repo("team/mood")
    put(api, "a.txt")
    put(api, "b.txt")
    api.super_squash_history("team/mood", commit_message="one")
    assert [commit.title for commit in api.list_repo_commits("team/mood")] == ["one"]
    assert api.list_repo_files("team/mood") == [".gitattributes", "a.txt", "b.txt"]
    assert put(api, "c.txt").oid == api.model_info("team/mood").sha


LIBRARIES = """
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModel, BertConfig, BertModel

config = BertConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                    intermediate_size=16)
base = BertModel(config)
base.push_to_hub("team/base")
base = AutoModel.from_pretrained("team/base")
adapted = get_peft_model(base, LoraConfig(target_modules=["query"], init_lora_weights=False))
ids = torch.tensor([[1, 2, 3]])
wanted = adapted.eval()(ids).last_hidden_state
adapted.push_to_hub("team/adapter")
pulled = PeftModel.from_pretrained(AutoModel.from_pretrained("team/base"), "team/adapter").eval()
assert torch.equal(pulled(ids).last_hidden_state, wanted)
"""


def test_transformers_and_peft_push_and_pull(server, api, tmp_path):
    environment = os.environ | {
        "HF_ENDPOINT": server.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "any",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-c", LIBRARIES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = api.list_repo_files("team/adapter")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(files)
