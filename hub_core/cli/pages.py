"""The shell of every page that a command writes: one file, nothing fetched, no foreign script."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from hub_core.errors import HubError


def document(
    command: str, title: str, body: str, styles: Sequence[str] = (), script: str = ""
) -> str:
    """Return a whole page.

    Args:
        command: The command that writes it.
        title: Its title, as text.
        body: What is in it, as HTML.
        styles: Files of this package with rules beside ``webpage.css``.
        script: The file with its script, if it has one; the page's policy allows no other.
    """
    code = _file(script) if script else ""
    style = "".join(map(_file, ("webpage.css", *styles)))
    policy = f"default-src 'none'; style-src 'unsafe-inline'{_allowed(code)}"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{_mark(command)}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"{body}</main>\n{f'<script>{code}</script>' + chr(10) if code else ''}</body>\n</html>\n"
    )


def write(path: Path, text: str, command: str) -> None:
    """Write a page; only a page of the same command is replaced.

    Raises:
        HubError: Something else is there, or it cannot be written.
    """
    try:
        if path.exists() and _mark(command) not in path.read_text("utf-8", errors="replace")[:500]:
            raise HubError(
                f"{path} exists already, and is no page of '{command}'",
                hint="choose another name",
            )
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_text(text, encoding="utf-8", errors="replace")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise HubError(
            f"{path} cannot be written: {error.strerror}", hint="choose another place"
        ) from None


def _mark(command: str) -> str:
    return f'<meta name="generator" content="{command}">'


def _allowed(code: str) -> str:
    """Return the part of the policy that allows a script."""
    if not code:
        return ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return f"; script-src 'sha256-{digest}'"


def _file(name: str) -> str:
    text = files("hub_core.cli").joinpath(name).read_text("utf-8")
    return text.replace("\r\n", "\n")  # the policy's hash is of what a browser reads
