"""Is a file of a format that can run nothing? By its name, and by what is in it.

The formats are a short list; everything else is refused, with the reason. Of safetensors the header
is read and never the data: what passes here, the official parser accepts.
"""

from __future__ import annotations

import json
import mmap
import os
import pickletools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from hub_core.errors import FormatError, listed
from hub_core.manifest import FILE_NAME

MAX_TEXT = 64 * 2**20
"""Bytes of a file that is read as a whole: JSON, text and the models of tokenizers."""
MAX_GRAPH = 2**31
"""Bytes of a graph; its format allows no more."""
MAX_HEADER = 25 * 2**20
"""Bytes of a safetensors header."""
MAX_TENSORS = 100_000
_MAX_ELEMENTS = 2**56
_MAX_OPCODES = 10_000

_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(?:\..*)?", re.IGNORECASE)

_REFUSED = {
    "can run code when it is opened": "bin pt pth ckpt pkl pickle joblib dill npy npz h5 hdf5 "
    "keras msgpack mlmodel pdparams",
    "is a program": "py pyc pyd pyw ipynb js mjs sh bash zsh fish bat cmd ps1 vbs pl rb lua jar "
    "exe com msi so dll dylib o a wasm cu ptx",
    "is an archive": "zip tar gz tgz bz2 xz 7z rar zst whl egg nemo mar",
}
_REASONS = {f".{end}": reason for reason, ends in _REFUSED.items() for end in ends.split()}

_MAGIC = {
    "it is a zip archive": (b"PK\x03\x04", b"PK\x05\x06"),
    "it is a compressed archive": (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!\x1a",
                                   b"\x28\xb5\x2f\xfd"),
    "it is a program": (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe",
                        b"\x00asm"),
    "it is a script": (b"#!",),
    "it is an HDF5 file": (b"\x89HDF",),
    "it is an array of NumPy": (b"\x93NUMPY",),
    "it looks like a pickle": (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
    "it is a pointer of Git LFS, not the file itself": (b"version https://git-lfs.",),
    "it is a web page": (b"<!DOCTYPE", b"<!doctype", b"<html"),
}  # fmt: skip
_CALLS = {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "EXT1", "EXT2", "EXT4"}

_WIDTHS = {
    64: "F64 I64 U64 C64",
    32: "F32 I32 U32",
    16: "F16 BF16 I16 U16",
    8: "I8 U8 BOOL F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ",
    6: "F6_E2M3 F6_E3M2",
    4: "F4",
}
_BITS = {dtype: bits for bits, dtypes in _WIDTHS.items() for dtype in dtypes.split()}

_HINT = "do not open it; take the artifact again from where it came, or tell its owner"


# -- names


def check_name(name: str) -> None:
    """Refuse a file by its name.

    Raises:
        FormatError: The name is not allowed on every system, or its ending is none of ``KINDS``.
    """
    check_names([name])


def check_names(names: Iterable[str]) -> None:
    """Refuse files by their names, all at once.

    Raises:
        FormatError: A name is not allowed on every system, its ending is none of ``KINDS``, or two
            names differ in the case of letters only.
    """
    different = sorted(set(names))
    problems = [problem for name in different if (problem := _name_problem(name))]
    alike = defaultdict(list)
    for name in different:
        alike[name.lower()].append(name)
    problems += [
        f"{' and '.join(map(_quoted, same))} differ in the case of letters only"
        for same in alike.values()
        if len(same) > 1
    ]
    hint = f"files of an artifact end with one of {', '.join(sorted(KINDS))}"
    if len(problems) == 1:
        raise FormatError(f"{problems[0]}, so it is refused", hint=hint)
    if problems:
        more = [f"and {len(problems) - 20:,} more"] if len(problems) > 20 else []
        raise FormatError(f"files are refused:{listed(problems[:20] + more)}", hint=hint)


def _quoted(name: str) -> str:
    text = ascii(name)
    return text if len(text) <= 130 else f"{text[:130]}…"


def _name_problem(name: str) -> str:
    quoted = _quoted(name)
    if not FILE_NAME.fullmatch(name):
        return (
            f"{quoted} is no plain file name of at most 121 letters, digits, '.', '_' and '-' "
            "that begins with none of '.' and '-'"
        )
    if name.endswith("."):
        return f"{quoted} ends with a dot, which Windows drops"
    if _RESERVED.fullmatch(name):
        return f"{quoted} is the name of a device on Windows"
    end = Path(name).suffix.lower()
    if end in KINDS:
        return ""
    return f"{quoted} {_REASONS.get(end, 'is of a kind that artifacts do not hold')}"


# -- contents


def check_content(path: Path, name: str) -> None:
    """Refuse a file that is not what its name says.

    Args:
        path: Where it is now, also under another name.
        name: The name that it has in the artifact.

    Raises:
        FormatError: The name or the content is refused, or it cannot be read.
    """
    check_name(name)
    _checked(path, *KINDS[Path(name).suffix.lower()])


def safetensors_header(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file that the official parser accepts.

    Raises:
        FormatError: The header is faulty, or the file has another size than it says.
    """
    header: dict[str, Any] = _checked(path, *KINDS[".safetensors"])
    return header


def _checked(path: Path, kind: str, check: Callable[[IO[bytes], int], Any]) -> Any:
    try:
        with path.open("rb") as file:
            head = file.read(300)
            file.seek(0)
            try:
                return check(file, os.fstat(file.fileno()).st_size)
            except _ContentError as fault:
                why = _looks_like(head) or str(fault)
                raise FormatError(f"{path} is no {kind}: {why}", hint=_HINT) from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from None


class _ContentError(Exception):
    """What is wrong with a content, as the end of a sentence."""


def _looks_like(head: bytes) -> str:
    """Return what the first bytes of a file tell, or an empty text."""
    for what, magic in _MAGIC.items():
        if head.startswith(magic):
            return what
    if head.startswith(b"MZ") and b"\0" in head:
        return "it is a program"
    return "it is a tar archive" if head[257:262] == b"ustar" else ""


def _refuse_larger(size: int, most: int, what: str = "it") -> None:
    if size > most:
        raise _ContentError(f"{what} has {size:,} bytes, more than the {most:,} that are allowed")


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _ContentError(f"it is not UTF-8 at byte {error.start + 1:,}") from None


def _check_text(file: IO[bytes], size: int) -> None:
    _refuse_larger(size, MAX_TEXT)
    data = file.read(MAX_TEXT)
    if found := _looks_like(data[:300]):
        raise _ContentError(found)
    if b"\0" in data:
        raise _ContentError("it holds NUL bytes")
    _decoded(data)
    if _is_old_pickle(data):
        raise _ContentError("it looks like a pickle")


def _is_old_pickle(data: bytes) -> bool:
    """Tell whether a text is a pickle of protocol 0, which is text too; nothing is run."""
    calls = False
    try:
        for number, (opcode, _, _) in enumerate(pickletools.genops(data)):
            calls = calls or opcode.name in _CALLS
            if number > _MAX_OPCODES:
                return True
    except Exception:  # whatever it stumbles over: this is no pickle
        return False
    return calls


def _check_json(file: IO[bytes], size: int) -> None:
    _refuse_larger(size, MAX_TEXT)
    _parsed(_decoded(file.read(MAX_TEXT)), parse_constant=_no_constant)


def _parsed(text: str, **hooks: Callable[[Any], Any]) -> Any:
    try:
        return json.loads(text, **hooks)  # type: ignore[arg-type]
    except RecursionError:
        raise _ContentError("its values are nested too deeply") from None
    except ValueError as error:
        raise _ContentError(str(error)) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no value of JSON")


# -- protobuf: the fields of the outermost message must fill the file


def _varint(file: IO[bytes]) -> int | None:
    """Return the next number, or None at the end of the file."""
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            if shift:
                break
            return None
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise _ContentError("it is cut off or damaged")


def _fields(file: IO[bytes], size: int) -> Iterator[int]:
    """Yield the number of every field, whose content is skipped."""
    while (key := _varint(file)) is not None:
        match key & 7:
            case 0:
                skipped = 0 if _varint(file) is not None else size
            case 1:
                skipped = 8
            case 2:
                skipped = size if (found := _varint(file)) is None else found
            case 5:
                skipped = 4
            case _:
                raise _ContentError("it is no protobuf message")
        if skipped > size - file.tell():
            raise _ContentError("it is cut off or damaged")
        file.seek(skipped, os.SEEK_CUR)
        yield key >> 3


def _check_message(file: IO[bytes], size: int, needed: int, known: Callable[[int], bool]) -> None:
    numbers = set(_fields(file, size))
    if not all(map(known, numbers)):
        raise _ContentError("it holds a field that is not part of the format")
    if needed not in numbers:
        raise _ContentError("it is empty")


def _check_sentencepiece(file: IO[bytes], size: int) -> None:
    _refuse_larger(size, MAX_TEXT)
    _check_message(file, size, 1, lambda number: 1 <= number <= 5 or number >= 200)


def _check_graph(file: IO[bytes], size: int) -> None:
    _refuse_larger(size, MAX_GRAPH)
    _check_message(file, size, 7, lambda number: 1 <= number <= 26)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # the key under which a tensor names a file, and its length in any encoding
        if re.search(rb"(?:\x08|\x88\x80*\x00)location", data):
            raise _ContentError("it names other files to read, or holds something named 'location'")


# -- safetensors


def _header(file: IO[bytes], size: int) -> dict[str, Any]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise _ContentError("it is shorter than its header says")
    _refuse_larger(length, MAX_HEADER, "its header")
    header = _parsed(
        _decoded(file.read(length)),
        parse_constant=_no_constant,
        parse_int=_natural,
        object_pairs_hook=_no_key_twice,
    )
    if not isinstance(header, dict):
        raise _ContentError("its header is no JSON object")
    end = _check_tensors({name: e for name, e in header.items() if name != "__metadata__"})
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _ContentError("its metadata are not text by text")
    _refuse_surrogates(header)
    if end != size - 8 - length:
        raise _ContentError(
            f"it holds {size - 8 - length:,} bytes of data, its header says {end:,}"
        )
    return header


def _natural(digits: str) -> int:
    if digits.startswith("-") or len(digits) > 20:
        raise ValueError(f"{digits[:24]} is no size or place")
    return int(digits)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key is there twice")
    return values


def _refuse_surrogates(header: dict[str, Any]) -> None:
    """Refuse halves of characters, which JSON can spell and UTF-8 cannot."""
    metadata = header.get("__metadata__", {})
    try:
        "".join((*header, *metadata, *metadata.values())).encode()
    except UnicodeEncodeError:
        raise _ContentError("a name or text in its header is not Unicode") from None


def _check_tensors(tensors: dict[str, Any]) -> int:
    """Check every tensor, and that one follows the other; return where the last one ends."""
    if len(tensors) > MAX_TENSORS:
        raise _ContentError(
            f"it holds {len(tensors):,} tensors, more than the {MAX_TENSORS:,} allowed"
        )
    places = sorted((_place(name, entry), name) for name, entry in tensors.items())
    end = 0
    for (start, stop), name in places:
        if start != end:
            raise _ContentError(f"tensor {_quoted(name)} begins at {start:,}, not at {end:,}")
        end = stop
    return end


def _place(name: str, entry: Any) -> tuple[int, int]:
    """Return the first byte of a tensor and the one after its last."""
    quoted = _quoted(name)
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _ContentError(f"the entry of tensor {quoted} is not dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise _ContentError(f"tensor {quoted} has an unknown dtype")
    if not _are_naturals(shape) or not _are_naturals(offsets) or len(offsets) != 2:
        raise _ContentError(f"shape or place of tensor {quoted} are not natural numbers")
    count = 1
    for length in shape:
        count *= length
        # at every step: a zero that follows would hide what overflows in other readers
        if count > _MAX_ELEMENTS:
            raise _ContentError(f"tensor {quoted} is too large")
    if count * _BITS[dtype] != 8 * (offsets[1] - offsets[0]):
        raise _ContentError(f"tensor {quoted} has another number of bytes than its shape says")
    return offsets[0], offsets[1]


def _are_naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


KINDS: dict[str, tuple[str, Callable[[IO[bytes], int], Any]]] = {
    ".safetensors": ("safetensors file", _header),
    ".json": ("JSON", _check_json),
    ".txt": ("text", _check_text),
    ".model": ("model of a SentencePiece tokenizer", _check_sentencepiece),
    ".onnx": ("inert ONNX graph", _check_graph),
}
"""Ending of a name to what such a file is, and its check."""
