"""Publishing: proven, scanned, one commit on what was there, and nothing if anything is wrong."""

import json
import shutil
import threading
from dataclasses import replace

import pytest
import tinymodels
import toydata
from hubs import lost, status
from huggingface_hub import ModelCard
from test_pull import commit

import hub_core
from hub_core import notes, publishing
from hub_core.errors import (
    ArtifactError,
    BaseMismatchError,
    IntegrityError,
    RecipeError,
    RemoteError,
)
from hub_core.publishing import Description, publish
from hub_core.remote import push as pushing
from hub_core.remote.pull import pull
from hub_core.remote.push import Wanted

NAME = "team/mood"
WANTED = Wanted(NAME)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An adapter and its backbone, which has no Hub id."""
    root = tmp_path_factory.mktemp("trained")
    tinymodels.save("bert", root / "tiny-bert")
    values = tinymodels.recipe(root / "tiny-bert", strategies=["lora"])
    hub_core.train(values, toydata.labelled(48), out=root / "out")
    return root


@pytest.fixture
def artifact(running, trained, tmp_path):
    """The adapter, on a machine that knows where its backbone is and that its proof holds."""
    shutil.copytree(trained / "out", tmp_path / "out")
    hub_core.verify(tmp_path / "out", backbone=str(trained / "tiny-bert"))
    return tmp_path / "out"


@pytest.fixture
def backbone(running, trained):
    """The backbone on the Hub, as others publish theirs."""
    commit(running, trained / "tiny-bert", name="team/tiny-bert")
    return Description(backbone_id="team/tiny-bert")


def files_of(running, name=NAME):
    api = running.api()
    return {f.path for f in api.list_repo_tree(name, recursive=True)} - {".gitattributes"}


def heads(running, name=NAME):
    return [c.commit_id for c in running.api().list_repo_commits(name)]


# -- what goes well


def test_what_is_published_loads_and_predicts_the_same(running, artifact, backbone):
    done = publish(artifact, WANTED, backbone)
    assert done.changed
    assert done.url == f"{running.url}/{NAME}"
    texts = ["a fine film", "a dull day"]
    before = hub_core.load(artifact).predict(texts)
    notes_cleared = notes.cache_folder() / "places.json"
    notes_cleared.unlink()  # as on another machine
    assert hub_core.load(NAME).predict(texts) == before
    assert hub_core.verify(f"{NAME}@{done.commit}").same


def test_it_is_one_commit_with_card_and_everything_hub_json_lists(running, artifact, backbone):
    running.api().create_repo(NAME)
    before = heads(running)
    done = publish(artifact, WANTED, backbone)
    assert heads(running) == [done.commit, *before]
    listed = json.loads((artifact / "hub.json").read_text("utf-8"))["files"]
    assert {"hub.json", "README.md", *listed} <= files_of(running)


def test_the_published_files_say_where_the_backbone_is(running, artifact, backbone, tmp_path):
    publish(artifact, WANTED, backbone)
    head = running.api().model_info("team/tiny-bert").sha
    folder = pull(NAME).folder
    content = json.loads((folder / "hub.json").read_text("utf-8"))
    assert content["backbone"]["hint"] == f"team/tiny-bert@{head}"
    assert content["recipe"]["backbone"]["model"] == "team/tiny-bert"
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert (config["base_model_name_or_path"], config["revision"]) == ("team/tiny-bert", head)


def test_the_card_is_found_by_backbone_task_and_method(running, artifact, backbone):
    publish(artifact, WANTED, replace(backbone, license="mit", languages=("en",)))
    api = running.api()
    for wanted in ("base_model:team/tiny-bert", "base_model:adapter:team/tiny-bert", "lora",
                   "hub-core", "license:mit", "en"):  # fmt: skip
        assert [m.id for m in api.list_models(filter=wanted)] == [NAME], wanted
    folder = api.hf_hub_download(NAME, "README.md")
    assert ModelCard.load(folder).data.base_model == "team/tiny-bert"


def test_the_backbone_is_published_too_where_that_is_wished(running, artifact, trained):
    done = publish(artifact, WANTED, Description(with_backbone=True))
    assert {"config.json", "model.safetensors", "README.md"} <= files_of(
        running, f"{NAME}-backbone"
    )
    (notes.cache_folder() / "places.json").unlink()
    assert hub_core.verify(f"{NAME}@{done.commit}").same


def test_publishing_the_same_again_changes_nothing(running, artifact, backbone):
    first = publish(artifact, WANTED, backbone)
    again = publish(artifact, WANTED, backbone)
    assert not again.changed
    assert again.commit == first.commit


def test_a_new_artifact_replaces_the_files_of_the_old_one(running, artifact, backbone, trained):
    publish(artifact, WANTED, backbone)
    other = artifact.parent / "other"
    values = tinymodels.recipe(trained / "tiny-bert", strategies=["head-only"])
    hub_core.train(values, toydata.labelled(48), out=other)
    publish(other, WANTED, backbone)
    assert "adapter_model.safetensors" not in files_of(running)
    assert pull(NAME).ours


def test_a_tag_names_the_commit(running, artifact, backbone):
    done = publish(artifact, replace(WANTED, tag="v1"), backbone)
    assert pull(f"{NAME}@v1").address == f"{NAME}@{done.commit}"


def test_a_private_repository_is_private(running, artifact, backbone, monkeypatch):
    publish(artifact, replace(WANTED, private=True), backbone)
    assert running.api().model_info(NAME).private


def test_a_proposal_leaves_the_main_branch(running, artifact, backbone):
    running.api().create_repo(NAME)
    before = heads(running)
    done = publish(artifact, replace(WANTED, pull_request=True), backbone)
    assert heads(running) == before
    assert "/discussions/1" in done.url
    assert pull(f"{NAME}@refs/pr/1").ours


def test_nothing_is_published_by_a_dry_run(running, artifact):
    with publishing.staged(artifact, WANTED, Description(with_backbone=True), dry=True) as ready:
        assert "README.md" in ready.files
    assert list(running.api().list_models()) == []


def test_ones_own_readme_is_the_cards_text(running, artifact, backbone):
    (artifact / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n", encoding="utf-8")
    publish(artifact, WANTED, backbone)
    card = ModelCard.load(running.api().hf_hub_download(NAME, "README.md"))
    assert card.text.strip() == "# Mine"
    assert card.data.license == "mit"
    assert card.data.base_model == "team/tiny-bert"


# -- what is refused before the Hub hears of it


def refused(kind, running, artifact, wanted=WANTED, description=None):
    """Return the error, after which the Hub must not have the repository."""
    before = [m.id for m in running.api().list_models()]
    with pytest.raises(kind) as found:
        publish(artifact, wanted, description)
    assert [m.id for m in running.api().list_models()] == before
    return found.value


def test_a_backbone_that_nobody_else_could_find(running, artifact):
    error = refused(RemoteError, running, artifact)
    assert error.message == (
        "the backbone tiny-bert has no Hub id, so nobody else could load the artifact"
    )
    assert error.hint == (
        "publish it too: --with-backbone; or say where it is: --backbone-id owner/name"
    )


def test_a_backbone_that_is_another_one(running, artifact, tmp_path):
    tinymodels.save("bert", tmp_path / "other-bert", seed=7)
    commit(running, tmp_path / "other-bert", name="team/other-bert")
    error = refused(BaseMismatchError, running, artifact,
                    description=Description(backbone_id="team/other-bert"))  # fmt: skip
    assert "is not the backbone of this artifact: its weights have sha256 " in error.message


def test_a_backbone_that_is_not_there(running, artifact):
    error = refused(RemoteError, running, artifact,
                    description=Description(backbone_id="team/none"))  # fmt: skip
    assert error.message == "team/none does not exist on the Hub, or is private to others"


def test_a_file_that_was_changed(running, artifact, backbone):
    (artifact / "probe.json").write_text("{}", encoding="utf-8")
    error = refused(IntegrityError, running, artifact, description=backbone)
    assert "is not what was saved:\n  - probe.json has " in error.message


def test_an_artifact_without_a_proof(running, artifact, backbone):
    path = artifact / "hub.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"proof": None}), "utf-8")
    error = refused(IntegrityError, running, artifact, description=backbone)
    assert error.message.endswith("was saved without a proof, so nobody knows that it loads")


def test_a_proof_that_does_not_hold(running, artifact, backbone):
    """Whoever changes a weight and its hash has an artifact that loads and is another one."""
    from safetensors.torch import load_file, save_file

    from hub_core import manifest

    head = artifact / "head.main.safetensors"
    tensors = {name: tensor + 1.0 * (tensor > 0) for name, tensor in load_file(head).items()}
    save_file(tensors, head)
    content = manifest.read(artifact)
    files = {k: v for k, v in manifest.describe_files(artifact).items() if k in content.files}
    manifest.write(artifact, content.model_copy(update={"files": files}))
    error = refused(IntegrityError, running, artifact, description=backbone)
    assert "its outputs differ from the saved ones by " in error.message


def test_a_secret_in_a_file(running, artifact, backbone):
    secret = "hf_" + "abcdefghij" * 4
    path = artifact / "hub.json"
    values = json.loads(path.read_text("utf-8"))
    values["lineage"] = [{"step": "train", "note": secret}]
    path.write_text(json.dumps(values), encoding="utf-8")
    error = refused(ArtifactError, running, artifact, description=backbone)
    assert "hub.json" in error.message
    assert secret not in error.message


def test_a_secret_in_ones_own_readme(running, artifact, backbone):
    secret = "hf_" + "abcdefghij" * 4
    (artifact / "README.md").write_text(f"# Mine\n\nuse {secret}\n", encoding="utf-8")
    error = refused(ArtifactError, running, artifact, description=backbone)
    assert "README.md" in error.message


def test_a_path_of_this_machine_in_a_file(running, artifact, backbone):
    path = artifact / "hub.json"
    values = json.loads(path.read_text("utf-8"))
    values["lineage"] = [{"step": "train", "note": "/home/ann/data.csv"}]
    path.write_text(json.dumps(values), encoding="utf-8")
    assert "/home/ann" in refused(ArtifactError, running, artifact, description=backbone).message


def test_a_link_instead_of_a_file(running, artifact, backbone, tmp_path):
    outside = tmp_path / "outside.json"
    (artifact / "probe.json").rename(outside)
    (artifact / "probe.json").symlink_to(outside)
    error = refused((ArtifactError, IntegrityError), running, artifact, description=backbone)
    assert "probe.json is a link" in error.message


@pytest.mark.parametrize(
    ("wanted", "description", "words"),
    [
        (replace(WANTED, tag="v1", pull_request=True), None, "--tag and --pr exclude each other"),
        (WANTED, Description(backbone_id="a/b", with_backbone=True),
         "--backbone-id and --with-backbone exclude each other"),
        (Wanted("mood"), None, "'mood' is no name of a repository"),
        (Wanted("team/mood@v1"), None,
         "team/mood@v1 names a revision, but publishing makes a new one"),
    ],
)  # fmt: skip
def test_wishes_that_make_no_sense(running, artifact, wanted, description, words):
    error = refused((RecipeError, RemoteError), running, artifact, wanted, description)
    assert error.message == words


# -- what the Hub refuses


def test_no_right_to_publish_there(running, artifact, monkeypatch):
    owner = running.token("team")
    api = running.api(owner)
    api.create_repo("team/tiny-bert")
    monkeypatch.setenv("HF_TOKEN", running.token("ann"))
    with pytest.raises(RemoteError) as found:
        publish(artifact, WANTED, Description(with_backbone=True))
    assert "your token may not do this: " in found.value.message
    assert "You have no right to change repositories of team." in found.value.message


def test_no_token_where_one_is_needed(running, artifact):
    running.token("team")
    with pytest.raises(RemoteError) as found:
        publish(artifact, WANTED, Description(with_backbone=True))
    assert "the Hub does not accept this token: " in found.value.message


def test_a_tag_that_exists(running, artifact, backbone):
    publish(artifact, replace(WANTED, tag="v1"), backbone)
    before = heads(running)
    (artifact / "README.md").write_text("# Mine\n", encoding="utf-8")
    with pytest.raises(RemoteError) as found:
        publish(artifact, replace(WANTED, tag="v1"), backbone)
    assert found.value.message == ("team/mood has a tag v1 already, which must keep its meaning")
    assert heads(running) == before


def test_a_repository_that_holds_something_else(running, artifact, backbone):
    commit(running, **{"train.py": b"print()", "model.bin": b"x"})
    before = heads(running)
    with pytest.raises(RemoteError) as found:
        publish(artifact, WANTED, backbone)
    assert found.value.message == (
        "team/mood holds files that are of no artifact:\n  - model.bin\n  - train.py"
    )
    assert heads(running) == before
    publish(artifact, replace(WANTED, overwrite=True), backbone)
    assert not {"train.py", "model.bin"} & files_of(running)


def test_private_is_not_hoped_for_in_a_public_repository(running, artifact, backbone):
    running.api().create_repo(NAME)
    with pytest.raises(RemoteError) as found:
        publish(artifact, replace(WANTED, private=True), backbone)
    assert found.value.message == (
        "team/mood exists and is public, so nothing in it would be private"
    )


def test_a_change_by_somebody_else_meanwhile(running, artifact, backbone, monkeypatch):
    publish(artifact, WANTED, backbone)
    (artifact / "README.md").write_text("# Mine\n", encoding="utf-8")
    real = pushing._check_tag

    def slow(*given):
        commit(running, **{"LICENSE": b"theirs"})
        return real(*given)

    monkeypatch.setattr(pushing, "_check_tag", slow)
    with pytest.raises(RemoteError) as found:
        publish(artifact, WANTED, backbone)
    assert found.value.message == (
        "team/mood was changed by somebody else meanwhile; nothing was published"
    )
    assert "LICENSE" in files_of(running)


def test_of_many_at_once_one_wins_and_the_others_are_told(running, artifact, backbone):
    publish(artifact, WANTED, backbone)
    outcomes = []

    def work(number):
        mine = artifact.parent / f"out{number}"
        shutil.copytree(artifact, mine)
        (mine / "README.md").write_text(f"# {number}\n", encoding="utf-8")
        try:
            outcomes.append(publish(mine, WANTED, backbone).changed)
        except RemoteError as error:
            outcomes.append(error.message)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lost = "team/mood was changed by somebody else meanwhile; nothing was published"
    assert outcomes.count(True) >= 1
    assert outcomes.count(True) + outcomes.count(lost) == 3
    assert len(heads(running)) == 2 + outcomes.count(True)


STEPS = [
    ("GET", "/api/models/team/mood"),
    ("POST", "/api/repos/create"),
    ("POST", "/preupload/"),
    ("POST", "/info/lfs/objects/batch"),
    ("PUT", "/lfs/"),
    ("POST", "/commit/"),
    ("GET", "/tree/"),
]


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(("method", "part"), STEPS)
def test_what_may_pass_is_asked_again(running, artifact, backbone, method, part, code, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    running.app.rule(method, part, status(code), times=1)
    done = publish(artifact, WANTED, backbone)
    assert pull(NAME).address == f"{NAME}@{done.commit}"


@pytest.mark.parametrize(("method", "part"), STEPS)
def test_what_does_not_pass_publishes_nothing(
    running, artifact, backbone, method, part, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _: None)
    if "repos/create" not in part:
        running.api().create_repo(NAME)
    running.app.rule(method, part, status(503))
    with pytest.raises(RemoteError, match="the Hub answers 503"):
        publish(artifact, WANTED, backbone)
    running.app.rules.clear()
    if "repos/create" not in part:
        assert files_of(running) == set()


def test_an_answer_that_got_lost_is_no_failure(running, artifact, backbone, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    publish(artifact, WANTED, backbone)
    (artifact / "README.md").write_text("# Mine\n", encoding="utf-8")
    running.app.rule("POST", "/commit/", lost(504), times=1)
    done = publish(artifact, WANTED, backbone)
    assert heads(running)[0] == done.commit
    assert len(heads(running)) == 3


def test_a_hub_that_keeps_other_bytes_is_told(running, artifact, backbone, monkeypatch):
    from test_pull import tree

    def lie(files):
        for file in files:
            if file["path"] == "hub.json":
                file["oid"] = "0" * 40
        return files

    running.app.rule("GET", "/tree/", tree(lie))
    with pytest.raises(IntegrityError) as found:
        publish(artifact, WANTED, backbone)
    assert "does not hold what was sent:\n  - hub.json" in found.value.message
