"""Models are found by what their cards and configurations say."""

import json

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.utils import httpx


def put(api, repo, **files):
    names = {"readme": "README.md", "adapter": "adapter_config.json", "config": "config.json"}
    api.create_repo(repo, exist_ok=True)
    add = [
        CommitOperationAdd(path_in_repo=names[key], path_or_fileobj=text.encode())
        for key, text in files.items()
    ]
    api.create_commit(repo, add, commit_message="put")


def found(api, **question):
    return [model.id for model in api.list_models(**question)]


def adapter_of(base):
    return json.dumps({"base_model_name_or_path": base, "task_type": "SEQ_CLS"})


def test_an_adapter_without_a_card_is_found_by_its_base(api):
    put(api, "team/lora", adapter=adapter_of("team/base"))
    put(api, "team/local", adapter=adapter_of("/home/ann/base"))
    assert found(api, filter="base_model:team/base") == ["team/lora"]
    assert found(api, filter="base_model:adapter:team/base") == ["team/lora"]
    assert found(api, filter="peft", sort="created_at") == ["team/local", "team/lora"]
    assert not any("/home" in tag for tag in api.model_info("team/local").tags)
    config = next(api.list_models(filter="base_model:team/base", fetch_config=True)).config
    assert config["peft"]["base_model_name_or_path"] == "team/base"


def test_the_card_has_the_last_word_on_the_base(api):
    card = "---\nbase_model: [team/one, team/two]\nbase_model_relation: merge\n---\n"
    put(api, "team/lora", adapter=adapter_of("team/base"), readme=card)
    assert found(api, filter="base_model:team/base") == []
    for base in ("team/one", "team/two"):
        assert found(api, filter=f"base_model:merge:{base}") == ["team/lora"]


def test_a_model_is_found_by_library_language_and_kind(api):
    put(api, "team/bert", config='{"model_type": "bert", "architectures": ["BertModel"]}',
        readme="---\nlanguage: [en, fa]\n---\n")  # fmt: skip
    for tag in ("bert", "transformers", "library:transformers", "fa", "language:fa"):
        assert found(api, filter=tag) == ["team/bert"], tag
    assert found(api, filter="library:peft") == []


def test_broken_configurations_are_as_none(api):
    put(api, "team/odd", config="[1", adapter="[]")
    assert found(api, filter="peft") == ["team/odd"]


def test_data_sets_are_found_by_what_their_cards_say(api):
    api.create_repo("team/texts", repo_type="dataset")
    card = b"---\nlicense: mit\nlanguage: en\ntask_categories: [text-classification]\n---\n"
    api.upload_file(repo_id="team/texts", repo_type="dataset", path_in_repo="README.md",
                    path_or_fileobj=card)  # fmt: skip
    for tag in ("license:mit", "language:en", "task_categories:text-classification"):
        assert [one.id for one in api.list_datasets(filter=tag)] == ["team/texts"], tag


def test_all_words_of_a_search_must_fit(api):
    for name in ("team/mood-large", "team/mood-small", "other/large"):
        api.create_repo(name)
    assert found(api, search="large mood") == ["team/mood-large"]
    assert sorted(found(api, search="LARGE")) == ["other/large", "team/mood-large"]


def test_a_list_comes_in_pages(server, api):
    names = [f"team/m{number}" for number in range(5)]
    for name in names:
        api.create_repo(name)
    url, seen = f"{server.url}/api/models?limit=2&sort=createdAt", []
    while url:
        answer = httpx.get(url)
        assert len(answer.json()) <= 2
        seen += [one["id"] for one in answer.json()]
        url = answer.links.get("next", {}).get("url")
    assert seen == names[::-1]
    assert found(api, limit=3, sort="created_at") == names[:1:-1]


def test_a_list_shows_as_much_as_is_asked_for(api):
    put(api, "team/mood", readme="---\nlicense: mit\n---\n")
    [plain] = api.list_models()
    assert (plain.siblings, plain.sha, plain.card_data) == (None, None, None)
    [full] = api.list_models(full=True, cardData=True)
    assert [one.rfilename for one in full.siblings] == [".gitattributes", "README.md"]
    assert full.sha == api.model_info("team/mood").sha
    assert full.card_data.license == "mit"
    [some] = api.list_models(expand=["downloads", "gated"])
    assert (some.id, some.downloads, some.gated, some.tags) == ("team/mood", 0, False, None)
    assert api.model_info("team/mood", expand=["tags"]).tags == ["license:mit"]


def test_gated_models_can_be_left_out(api):
    for name in ("team/open", "team/shut"):
        api.create_repo(name)
    api.update_repo_settings("team/shut", gated="auto")
    assert found(api, gated=True) == ["team/shut"]
    assert found(api, gated=False) == ["team/open"]


@pytest.mark.parametrize("sort", ["downloads", "likes", "last_modified", "trending_score"])
def test_lists_are_sorted_as_the_hub_sorts_them(api, sort):
    for name in ("team/old", "team/new"):
        put(api, name, readme="text")
    put(api, "team/old", readme="newer text")
    assert found(api, sort=sort) == ["team/old", "team/new"]


def test_what_lists_cannot_do_is_said(server):
    url = f"{server.url}/api/models"
    answer = httpx.get(url, params={"inference": "warm"})
    assert (answer.status_code, answer.headers["x-error-code"]) == (404, "NotImplemented")
    assert answer.json() == {"error": "This server cannot narrow lists by 'inference'."}
    answer = httpx.get(url, params={"sort": "colour"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "Lists cannot be sorted by 'colour'."}
