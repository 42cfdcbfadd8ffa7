"""What must not be published: secrets, paths of this machine, links, what cannot be looked into.

Every file is scanned by its kind, and a file that cannot be scanned is refused. Vocabularies hold
any text, so only secrets are looked for there; in other JSON every path of a machine counts.
"""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from pathlib import Path
from typing import Any

from hub_core.errors import ArtifactError, FormatError, listed
from hub_core.inert import MAX_TEXT, safetensors_header
from hub_core.wording import shown

MOST = 20
"""Problems that an error lists before it only counts."""
_HINT = (
    "remove it from the recipe or the card, then save or push again; "
    "a secret that was ever in a file should be revoked"
)
_CHUNK, _OVERLAP = 2**24, 2**12

_Place = tuple[str | int, ...]


class _Level(IntEnum):
    """How closely a text is looked at; each level includes those before it."""

    SECRETS = 0
    HOMES = 1
    MACHINE = 2
    PATHS = 3


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is looked for. ``needles``: a text without any of them cannot match."""

    kind: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    level: _Level = _Level.SECRETS


def _secret(kind: str, needles: str, pattern: str) -> _Rule:
    return _Rule(kind, tuple(needles.split("|")), re.compile(pattern, re.ASCII))


def _path(whose: str, needle: str, pattern: str, level: _Level) -> _Rule:
    return _Rule(f"a path of a {whose}", (needle,), re.compile(pattern, re.ASCII), level)


# Patterns begin with plain text, and look behind only after it: that is ten times faster.
_SECRETS = [
    _secret("a token of Hugging Face", "hf_|api_org_", r"(?:hf_|api_org_)[A-Za-z0-9]{20,}"),
    _secret("a token of GitHub", "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_",
            r"(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{22,})"),
    _secret("a token of GitLab", "glpat-", r"glpat-[\w-]{20,}"),
    _secret("a key of OpenAI, Anthropic or alike", "sk-",
            r"sk-(?:(?<![A-Za-z0-9]sk-)|(?<=\\[nrt]sk-))(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}"),
    _secret("a key of AWS", "AKIA|ASIA",
            r"(?:AKIA|ASIA(?=[A-Z]{0,15}[0-9]))[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _secret("a secret key of AWS", "aws_secret_access_key|AWS_SECRET_ACCESS_KEY",
            r"(?i:aws_secret_access_key)\W{1,5}(?P<secret>[A-Za-z0-9/+]{40})"),
    _secret("a signed address", "-Signature=|sig=|Signature=",
            r"(?:X-(?:Amz|Goog)-Signature=(?P<secret>[A-Za-z0-9%]{8,})"
            r"|[?&;](?:sig|Signature)=(?P<other>[A-Za-z0-9%+/=_~-]{16,}))"),
    _secret("an address with a password", "://",
            r"://[^\s/:@\"'<>\\]{0,100}:(?P<secret>[^\s/@\"'<>]{1,200})@[\w\[]"),
    _secret("a token of Slack", "xox", r"xox[a-z]-[A-Za-z0-9-]{10,}"),
    _secret("a key of Google", "AIza", r"AIza[\w-]{35}(?![\w-])"),
    _secret("a token of npm", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _secret("a token of PyPI", "pypi-AgE", r"pypi-AgE[\w-]{16,}"),
    _secret("a key of Stripe", "k_live_", r"[rs]k_live_[A-Za-z0-9]{16,}"),
    _secret("a key of Weights & Biases", "wandb|WANDB|Wandb",
            r"(?i:wandb)(?:_v1_(?P<secret>\w{40,})|(?:[\s\"'=:,.]{1,8}|[\s\S]{0,60}?(?i:login|password"
            r"|secret|(?:auth|access)[_ -]?token|(?<![a-z])key(?![a-z]))[\s\S]{0,20}?"
            r"(?<![0-9A-Za-z]))(?P<other>[0-9a-f]{40})(?![0-9A-Za-z]))"),
    _secret("a private key", "PRIVATE KEY", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY"),
    _secret("a web token", ".eyJ", r"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    _secret("an authorization", "earer ",
            r"[Bb]earer +(?=[A-Za-z._~+/-]*[0-9])(?P<secret>[A-Za-z0-9._~+/=-]{20,})"),
]  # fmt: skip

# In binary files any byte may stand before what is looked for: only letters of ASCII are letters.
_REST = r"[^\s\"'<>|;,()\[\]{}`]*"
_LETTER = r"[\w\x80-\U0010ffff]"
_PART = r"[\w.@%+=,~\x80-\U0010ffff-]+"
_ROOTS = (
    "root|tmp|mnt|var|opt|srv|data|work|media|scratch|workspace|private|Volumes|etc|usr|dbfs"
    "|kaggle|content|gpfs|lustre"
)
_PATHS = [
    _path("user", "/", rf"/(?:home|Users)/(?<![\w.%~-]/home/)(?<![\w.%~-]/Users/){_LETTER}{_REST}",
          _Level.HOMES),
    _path("user", ":",
          rf"[A-Za-z]:[\\/]+(?i:Users|Documents and Settings)[\\/]+{_LETTER}{_REST}", _Level.HOMES),
    _path("machine", "file:/", rf"file:/{{2,3}}\w{_REST}", _Level.MACHINE),
    _path("machine", "/", rf"(?<![\w.%~/-])/(?:{_ROOTS})/{_LETTER}{_REST}", _Level.MACHINE),
    # a spelled out \n, \r or \t is no folder
    _path("machine", ":\\", rf"(?<![\w?-])[A-Za-z]:\\+(?![nrt])[\w.$]+(?:\\{_REST}|\.\w+)",
          _Level.MACHINE),
    _path("user", "~", rf"(?<![\w/.~])~[/\\][\w.]{_REST}", _Level.MACHINE),
    _path("machine", "/", rf"(?m)^(?:/{_PART}){{2,}}/?$", _Level.PATHS),
    _path("machine", "/", rf"(?m)^/(?:{_ROOTS}|home|Users)/?$", _Level.PATHS),
    _path("machine", ":", r"(?m)^[A-Za-z]:(?:\\(?![nrt](?:[A-Z\\]|$))|/\w).*$", _Level.PATHS),
    _path("machine", "\\\\", r"(?m)^\\\\[\w.$-]+\\[^\\\n].*$", _Level.PATHS),
]  # fmt: skip


def check_publishable(folder: Path, names: Iterable[str]) -> None:
    """Refuse secrets, paths of this machine, links and unlisted kinds, all problems at once.

    Args:
        folder: Where the files are.
        names: The files in it that would be published; no other one is looked at.

    Raises:
        ArtifactError: A file must not be published, or cannot be scanned.
    """
    problems = [problem for name in sorted(set(names)) for problem in _problems(folder, name)]
    if problems:
        more = [f"and {len(problems) - MOST:,} more"] if len(problems) > MOST else []
        raise ArtifactError(
            f"{folder} must not be published as it is:{listed(problems[:MOST] + more)}",
            hint=_HINT,
        )


def scan_text(text: str, where: str) -> list[str]:
    """Return what must not be published in a text that people wrote: secrets and users' paths.

    Args:
        text: For example a card, in Markdown.
        where: What to call it.
    """
    return _in_text(text, where, _Level.HOMES)


# -- files


class _UnscannableError(Exception):
    """Why a file cannot be scanned, as the end of a sentence."""


def _problems(folder: Path, name: str) -> list[str]:
    """Return what is wrong with one file."""
    path = folder / name
    called = _printable(_hidden(name))
    problems = [f"the name {called}: {what}" for _, what in _found(name, _Level.SECRETS)]
    try:
        if path.is_symlink():
            return [*problems, f"{called} is a link, not a file"]
        if not path.resolve().is_relative_to(folder.resolve()):
            return [*problems, f"{called} is outside of the folder"]
        if not path.is_file():
            return [*problems, f"{called} is no file, or is missing"]
        return problems + _scanned(path, Path(name).name, called)
    except (_UnscannableError, ValueError) as error:
        return [*problems, f"{called} cannot be scanned: {error}"]
    except FormatError as error:
        return [*problems, f"{called} cannot be scanned: {error.message.replace(str(path), 'it')}"]
    except OSError as error:
        return [*problems, f"{called} cannot be scanned: {error.strerror or error}"]


def _scanned(path: Path, name: str, called: str) -> list[str]:
    match path.suffix.lower():
        case ".json":
            return _in_json(_parsed(_text(path)), name, called)
        case ".safetensors":
            return _in_json(safetensors_header(path), name, called)
        case ".txt" if name.lower() in _VOCABULARIES:
            return _in_text(_text(path), called, _Level.SECRETS)
        case ".txt" | ".md":
            return _in_text(_text(path), called, _Level.HOMES)
        case ".png":
            return _in_text(_png_text(_bytes(path)), called, _Level.HOMES)
        case ".model" | ".onnx":
            return _in_binary(path, called)
    raise _UnscannableError("it is of a kind that is not published")


def _bytes(path: Path) -> bytes:
    if (size := path.stat().st_size) > MAX_TEXT:
        raise _UnscannableError(f"it has {size:,} bytes, more than {MAX_TEXT:,}")
    return path.read_bytes()


def _text(path: Path) -> str:
    data = _bytes(path)
    if b"\0" in data:
        raise _UnscannableError("it holds NUL bytes, so it is no text")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _UnscannableError(f"it is not UTF-8 at byte {error.start + 1:,}") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_key_twice)
    except RecursionError:
        raise _UnscannableError("its values are nested too deeply") from None
    except ValueError as error:
        raise _UnscannableError(f"it is not JSON: {error}") from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):  # of two values, other readers may see the one we do not
        raise ValueError("a key is there twice")
    return values


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"bKGD",
          b"sBIT", b"tIME", b"tEXt"}  # fmt: skip


def _png_text(data: bytes) -> str:
    """Return the texts beside an image's points; whatever else might hold some is refused."""
    if not data.startswith(_SIGNATURE):
        raise _UnscannableError("it is no PNG image")
    place, kind, texts = len(_SIGNATURE), b"", []
    while kind != b"IEND" and place < len(data):
        length, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if kind not in _PLAIN:
            raise _UnscannableError(f"it holds a part {kind.decode('latin-1')!a}")
        if kind == b"tEXt":
            texts.append(data[place + 8 : place + 8 + length].decode("latin-1"))
        place += 12 + length
    if kind != b"IEND" or place != len(data):
        raise _UnscannableError("it is cut off, or goes on after its end")
    return "\n".join(texts)


# -- texts


def _in_text(text: str, where: str, level: _Level) -> list[str]:
    return [
        f"{where}, line {text.count(chr(10), 0, start) + 1:,}: {what}"
        for start, what in _found(text, level)
    ]


def _in_binary(path: Path, where: str) -> list[str]:
    """Scan what has no structure that we read; pieces overlap, so that nothing is cut in two."""
    problems: dict[int, str] = {}
    with path.open("rb") as file:
        before, place = b"", 0
        while chunk := file.read(_CHUNK):
            text = (before + chunk).decode("latin-1")
            start = place - len(before)
            for found, what in _found(text, _Level.HOMES):
                problems.setdefault(start + found, f"{where}, byte {start + found + 1:,}: {what}")
            before, place = chunk[-_OVERLAP:], place + len(chunk)
    return list(problems.values())


_VOCABULARIES = {"vocab.txt", "merges.txt", "vocab.json"}
_EXAMPLES = "probe.json"
_LABELS = {"labels", "label2id", "id2label"}


def _level(name: str, place: _Place) -> _Level:
    """Return how closely a text of JSON is looked at."""
    if name in _VOCABULARIES:
        return _Level.SECRETS
    if name == "tokenizer.json":
        pieces = place[:2] in (("model", "vocab"), ("model", "merges"))
        return _Level.SECRETS if pieces else _Level.HOMES
    if name == _EXAMPLES:
        return _Level.HOMES
    if name.endswith(".safetensors"):
        return _Level.PATHS if place[:1] == ("__metadata__",) else _Level.HOMES
    return _Level.MACHINE if _LABELS.intersection(place) else _Level.PATHS


def _in_json(values: Any, name: str, where: str) -> list[str]:
    """Scan all texts of a level as one, a text a line; that is much faster than one by one."""
    name = name.lower()
    texts: dict[_Level, list[str]] = defaultdict(list)
    for place, text in _texts(values):
        texts[_level(name, place)].append(text)
    problems = []
    for level, pieces in texts.items():
        if found := _found("\n".join(pieces), level):
            starts = list(accumulate((len(piece) + 1 for piece in pieces), initial=0))
            places = [place for place, _ in _texts(values) if _level(name, place) == level]
            problems += [
                f"{where} at {_pointer(places[bisect_right(starts, start) - 1])}: {what}"
                for start, what in found
            ]
    return problems


def _texts(values: Any) -> Iterator[tuple[_Place, str]]:
    """Yield every text and its place, keys before their values."""
    waiting: list[tuple[_Place, Any]] = [((), values)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str):
            yield place, value
        elif isinstance(value, dict):
            for key, inner in reversed(value.items()):
                inside = (*place, key)
                if isinstance(inner, str | dict | list):
                    waiting.append((inside, inner))
                waiting.append((inside, key))
        elif isinstance(value, list):
            waiting += [((*place, n), value[n]) for n in range(len(value) - 1, -1, -1)]


def _pointer(place: _Place) -> str:
    """Return a JSON pointer (RFC 6901) in which no secret can be read."""
    parts = (_hidden(str(part)).replace("~", "~0").replace("/", "~1") for part in place)
    pointer = "".join(f"/{part}" for part in parts)
    return _printable(pointer) or "its top"


# -- finding


def _found(text: str, level: _Level) -> list[tuple[int, str]]:
    """Return where something is and what; of secrets or paths that overlap, the first."""
    matches = []
    for rule in (*_SECRETS, *_own_home(), *_PATHS):
        if rule.level <= level and any(needle in text for needle in rule.needles):
            matches += [(match.start(), match, rule) for match in rule.pattern.finditer(text)]
    matches.sort(key=lambda found: found[0])
    told, ends = [], {True: 0, False: 0}
    for start, match, rule in matches:
        secret = rule.level is _Level.SECRETS
        if start >= ends[secret]:
            told.append((start, f"{rule.kind} ({_excerpt(match, rule)})"))
            ends[secret] = match.end()
    return told


def _own_home() -> list[_Rule]:
    """Return a rule for the home folder of who runs this, if there is one."""
    try:
        home = Path.home()
    except RuntimeError:
        return []
    if len(home.parts) < 2:
        return []
    forms = {str(home), home.as_posix(), str(home).replace("\\", "\\\\")}
    pattern = rf"(?<![\w.-])(?:{'|'.join(map(re.escape, sorted(forms)))})(?![\w-]|\.\w){_REST}"
    windows = os.name == "nt"  # where case does not matter
    needles, flags = (("",), re.IGNORECASE) if windows else (tuple(forms), re.NOFLAG)
    return [_Rule("your home folder", needles, re.compile(pattern, flags | re.ASCII), _Level.HOMES)]


def _start_of(match: re.Match[str]) -> str:
    named = [text for text in match.groupdict().values() if text]
    return f"{(named or [match.group()])[0][:4]}…"


def _excerpt(match: re.Match[str], rule: _Rule) -> str:
    """Return what a message shows: of a secret its first four letters."""
    if rule.level is _Level.SECRETS:
        return _printable(_start_of(match))
    return shown(_printable(_hidden(match.group())))


def _hidden(text: str) -> str:
    for rule in _SECRETS:
        text = rule.pattern.sub(_start_of, text)
    return text


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
