"""Figures as files: PNG for papers and slides, SVG for the page, its colours as CSS variables."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.figure import Figure

from hub_report.theme import COLORS

PNG_DPI = 170
_VARIABLES = {light: f"var(--{name})" for name, (light, _) in COLORS.items()}
_COLOR = re.compile("|".join(_VARIABLES))
_FONT = re.compile(r"'DejaVu Sans'.*?sans-serif")
_REFERENCE = re.compile(r"url\(#")
_DROPPED = ("metadata", "style", "title")


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG on its light ground."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure as SVG to be put into a page.

    Args:
        figure: The figure.
        name: Put before all ids, which must differ within a page.
        label: What the figure shows, for those who do not see it.
    """
    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "hub-report"}):
        figure.savefig(buffer, format="svg", dpi=200, facecolor="none", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in root.iter():
        for child in list(parent):
            if _bare(child.tag) in _DROPPED:
                parent.remove(child)
    for element in root.iter():
        element.tag = _bare(element.tag)
        element.attrib = dict(_attributes(element.attrib, name))
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.attrib |= {"role": "img", "aria-label": label, "style": "stroke-linejoin: round"}
    return ElementTree.tostring(root, encoding="unicode")


def _attributes(found: dict[str, str], name: str) -> Iterator[tuple[str, str]]:
    """Yield attributes without namespaces, with own ids and the colours of the theme."""
    for key, value in found.items():
        key = _bare(key)
        if key == "id":
            value = f"{name}-{value}"
        elif key == "href" and value.startswith("#"):
            value = f"#{name}-{value[1:]}"
        elif key in ("style", "fill", "stroke"):
            value = _COLOR.sub(lambda match: _VARIABLES[match[0]], value)
            value = _FONT.sub("system-ui, sans-serif", value)
        yield key, _REFERENCE.sub(f"url(#{name}-", value)


def _bare(name: str) -> str:
    return name.rpartition("}")[2]
