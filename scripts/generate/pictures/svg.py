"""Colors and shapes that the pictures share."""

from __future__ import annotations

import typing as t
from html import escape

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Colors: t.TypeAlias = Mapping[str, str]

LIGHT: t.Final[Colors] = {
    "paper": "#ffffff",
    "frame": "#d0d7de",
    "ink": "#1f2328",
    "soft": "#59636e",
    "fill": "#f6f8fa",
    "again": "#9ec5fe",
    "new": "#0969da",
    "lake": "#f1f3f5",
    "late": "#bc4c00",
}
DARK: t.Final[Colors] = {
    "paper": "#0d1117",
    "frame": "#3d444d",
    "ink": "#f0f6fc",
    "soft": "#9198a1",
    "fill": "#161b22",
    "again": "#1f4b85",
    "new": "#58a6ff",
    "lake": "#1c2128",
    "late": "#f0883e",
}


def picture(width: int, height: int, title: str, colors: Colors, shapes: Iterable[str]) -> str:
    """Return a picture on an opaque sheet, independent of the page's background."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' height="{height}" role="img" font-family="system-ui, -apple-system, Segoe UI, Roboto,'
        ' Helvetica, Arial, sans-serif" font-size="13">'
    )
    sheet = (
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"'
        f' fill="{colors["paper"]}" stroke="{colors["frame"]}"/>'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", sheet, *shapes, "</svg>", ""])


def text(
    x: float,
    y: float,
    content: str,
    fill: str,
    *,
    anchor: str = "start",
    weight: str = "normal",
    size: int | None = None,
) -> str:
    """Return a line of text."""
    font = "" if size is None else f' font-size="{size}"'
    return (
        f'<text x="{x}" y="{y}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}"{font}>'
        f"{escape(content)}</text>"
    )


def box(
    place: tuple[float, float, float, float],
    colors: Colors,
    lines: Iterable[str],
    *,
    is_accented: bool = False,
) -> str:
    """Return a rounded box with centered lines: the first is a title, the others explain it.

    Args:
        place: x, y, width and height.
        colors: The colors.
        lines: Title and explanation.
        is_accented: Whether the frame stands out.
    """
    x, y, width, height = place
    stroke = colors["new"] if is_accented else colors["frame"]
    first, *rest = lines
    top = y + height / 2 + 5 - 9 * len(rest)
    texts = [text(x + width / 2, top, first, colors["ink"], anchor="middle", weight="600")]
    texts += [
        text(x + width / 2, top + 18 * place, line, colors["soft"], anchor="middle", size=12)
        for place, line in enumerate(rest, 1)
    ]
    shape = (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{colors["fill"]}"'
        f' stroke="{stroke}" stroke-width="{1.5 if is_accented else 1}"/>'
    )
    return "\n".join([shape, *texts])


def arrow(points: Iterable[tuple[float, float]], color: str, *, is_dashed: bool = False) -> str:
    """Return a line of horizontal and vertical segments with an arrowhead at its end."""
    corners = list(points)
    (before_x, before_y), (x, y) = corners[-2:]
    head = {
        (1, 0): "l-9 -4.5v9z",
        (-1, 0): "l9 -4.5v9z",
        (0, 1): "l-4.5 -9h9z",
        (0, -1): "l-4.5 9h9z",
    }[_sign(x - before_x), _sign(y - before_y)]
    path = "L".join(f"{x} {y}" for x, y in corners)
    dashes = ' stroke-dasharray="4 3"' if is_dashed else ""
    return (
        f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="1.5"{dashes}/>'
        f'<path d="M{x} {y}{head}" fill="{color}"/>'
    )


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)
