"""Print lines of code against the sizes we hold ourselves to; a goal that is missed says OVER."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE, TECHNIQUE, FILE = 3000, 150, 400
IGNORED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
           tokenize.ENDMARKER, tokenize.ENCODING}  # fmt: skip


def lines_of_code(path: Path) -> int:
    """Count lines that hold code: no blank lines, comments or docstrings."""
    text = path.read_text("utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in IGNORED:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            body = node.body
            if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                lines -= set(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
    return len(lines)


def total(folder: Path) -> int:
    """Count a folder's lines of code, tests left out."""
    return sum(lines_of_code(p) for p in folder.rglob("*.py") if "tests" not in p.parts)


def methods(folder: Path) -> int:
    """Count the methods that a plugin announces."""
    return max(1, sum(p.read_text("utf-8").count("Method(") for p in folder.rglob("plugin.py")))


def row(name: str, count: int, goal: int) -> None:
    """Print one line of the table."""
    print(f"{name:32} {count:6} of {goal:5} {'OVER' if count > goal else ''}".rstrip())


def main() -> None:
    """Print core, plugins and long files."""
    row("core", total(ROOT / "hub_core"), CORE)
    print(f"{'  of which the command line':32} {total(ROOT / 'hub_core' / 'cli'):6}")
    for folder in sorted((ROOT / "plugins").glob("hub-*")):
        row(
            f"{folder.name} ({methods(folder)} methods)", total(folder), TECHNIQUE * methods(folder)
        )
    for path in sorted([*ROOT.glob("hub_core/**/*.py"), *ROOT.glob("plugins/*/hub_*/**/*.py")]):
        physical = len(path.read_text("utf-8").splitlines())
        if physical > FILE:
            row(f"{path.relative_to(ROOT)} (lines)", physical, FILE)


if __name__ == "__main__":
    main()
