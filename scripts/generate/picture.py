"""The picture of two nights, docs/state-light.svg and docs/state-dark.svg, from a few numbers.

What the runs read and where their bookmarks stand is asked of the tap's own rule.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

from tap_campusgroups.config import EARLIEST
from tap_campusgroups.records.values import format_timestamp, parse_timestamp
from tap_campusgroups.state import next_bookmark, range_start

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def _at(day: int, hour: int) -> datetime:
    return datetime(2025, 3, day, hour, tzinfo=UTC)


LOOKBACK: t.Final = timedelta(hours=48)
"""The default of `lookback_hours`."""

BOOKMARK: t.Final = _at(9, 8)
"""Before the first night."""

LATE_UPDATED, LATE_ARRIVED = _at(10, 6), _at(11, 10)
"""The late row: its `updatedOn`, and when the data lake has it."""

FROM, TO = _at(7, 0), _at(12, 12)
"""What the picture shows."""


@dataclass(frozen=True)
class Night:
    """A run of the example.

    Attributes:
        bookmark: Before it.
        newest: `updatedOn` of the newest row that the data lake has by then.
        started: Its start.
    """

    bookmark: datetime
    newest: datetime
    started: datetime

    @property
    def reads_from(self) -> datetime:
        """The first instant of `updatedOn` that it asks for."""
        return range_start(self.bookmark, start_date=EARLIEST, lookback=LOOKBACK)

    @property
    def leaves(self) -> datetime:
        """The bookmark after it."""
        after = next_bookmark(
            format_timestamp(self.bookmark),
            newest=format_timestamp(self.newest),
            end=format_timestamp(self.started),
            watermark=format_timestamp(self.started - LOOKBACK),
        )
        return t.cast("datetime", parse_timestamp(after))


FIRST: t.Final = Night(BOOKMARK, newest=_at(10, 8), started=_at(11, 5))
SECOND: t.Final = Night(FIRST.leaves, newest=_at(11, 10), started=_at(12, 5))

_LIGHT: t.Final = {
    "paper": "#ffffff",
    "frame": "#d0d7de",
    "ink": "#1f2328",
    "soft": "#59636e",
    "again": "#9ec5fe",
    "new": "#0969da",
    "lake": "#f1f3f5",
    "late": "#bc4c00",
}
_DARK: t.Final = {
    "paper": "#0d1117",
    "frame": "#3d444d",
    "ink": "#f0f6fc",
    "soft": "#9198a1",
    "again": "#1f4b85",
    "new": "#58a6ff",
    "lake": "#1c2128",
    "late": "#f0883e",
}

_WIDTH, _HEIGHT = 900, 372
_LEFT, _RIGHT = 132, 876
_AXIS, _ROW, _LANES, _BAR, _LEGEND = 44, 84, (146, 236), 26, 340


def light() -> str:
    """Draw the picture for a light page."""
    return _picture(_LIGHT)


def dark() -> str:
    """Draw the picture for a dark page."""
    return _picture(_DARK)


def _picture(colours: Mapping[str, str]) -> str:
    lines = [
        _open_svg(),
        "<title>Two nightly runs, and a row that reaches the data lake between them</title>",
        _sheet(colours),
        *_axis(colours),
        *_late_row(colours),
        *_night(colours, FIRST, _LANES[0], "First night", finds=False),
        *_night(colours, SECOND, _LANES[1], "Second night", finds=True),
        *_legend(colours),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _open_svg() -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
        f' height="{_HEIGHT}" role="img" font-family="system-ui, -apple-system, Segoe UI, Roboto,'
        ' Helvetica, Arial, sans-serif" font-size="13">'
    )


def _sheet(colours: Mapping[str, str]) -> str:
    """Draw the paper, so that the picture does not depend on what it lies on."""
    return (
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" rx="8"'
        f' fill="{colours["paper"]}" stroke="{colours["frame"]}"/>'
    )


def _x(instant: datetime) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * ((instant - FROM) / (TO - FROM)), 1)


def _text(
    x: float, y: float, text: str, fill: str, *, anchor: str = "start", weight: str = "normal"
) -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{fill}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def _bar(start: float, end: float, y: float, fill: str, stroke: str = "none") -> str:
    return (
        f'<rect x="{start}" y="{y}" width="{end - start:.1f}" height="{_BAR}" fill="{fill}"'
        f' stroke="{stroke}"/>'
    )


def _dot(x: float, y: float, fill: str, stroke: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="6" fill="{fill}" stroke="{stroke}" stroke-width="2"/>'


def _bookmark(x: float, y: float, fill: str) -> str:
    """Draw a flag whose foot is at a point."""
    return (
        f'<path d="M{x} {y}V{y - 20}h11l-4 4.5l4 4.5h-11" fill="{fill}" stroke="{fill}"'
        ' stroke-width="1.5"/>'
    )


def _axis(colours: Mapping[str, str]) -> Iterator[str]:
    yield _text(16, _AXIS - 16, "updatedOn, March", colours["soft"])
    yield f'<path d="M{_LEFT} {_AXIS}H{_RIGHT}" stroke="{colours["soft"]}"/>'
    day = FROM
    while day < TO:
        x, next_day = _x(day), day + timedelta(days=1)
        yield (
            f'<path d="M{x} {_AXIS - 5}V{_LANES[1] + 60}" stroke="{colours["frame"]}"'
            ' stroke-dasharray="2 4"/>'
        )
        middle = (x + _x(min(next_day, TO))) / 2
        yield _text(middle, _AXIS - 16, f"{day:%a} {day.day}", colours["soft"], anchor="middle")
        day = next_day


def _late_row(colours: Mapping[str, str]) -> Iterator[str]:
    start, end, colour = _x(LATE_UPDATED), _x(LATE_ARRIVED), colours["late"]
    yield _text(16, _ROW + 5, "A late row", colour, weight="600")
    yield (
        f'<path d="M{start} {_ROW}V{_LANES[1] + _BAR / 2}" stroke="{colour}" stroke-width="1.5"'
        ' stroke-dasharray="4 3"/>'
    )
    yield f'<path d="M{start} {_ROW}H{end - 7}" stroke="{colour}" stroke-width="2"/>'
    yield f'<path d="M{end} {_ROW}l-9 -5v10z" fill="{colour}"/>'
    yield _dot(start, _ROW, colour, colour)
    yield _text(start - 12, _ROW + 5, f"updated {_short(LATE_UPDATED)}", colour, anchor="end")
    yield _text(end + 8, _ROW + 5, f"in the lake {_short(LATE_ARRIVED)}", colour)


def _night(
    colours: Mapping[str, str], night: Night, y: float, name: str, *, finds: bool
) -> Iterator[str]:
    ink, middle = colours["ink"], y + _BAR / 2
    yield _text(16, y + 11, name, ink, weight="600")
    yield _text(16, y + 28, _short(night.started), colours["soft"])
    start, old, newest, end = map(
        _x, (night.reads_from, night.bookmark, night.newest, night.started)
    )
    yield _bar(start, old, y, colours["again"])
    yield _bar(old, newest, y, colours["new"])
    yield _bar(newest, end, y, colours["lake"], colours["frame"])
    yield _bookmark(old, y, colours["soft"])
    yield _bookmark(_x(night.leaves), y, ink)
    below = y + _BAR + 17
    yield _text(start, below, f"from {_short(night.reads_from)}", colours["soft"])
    yield _text(end, below, f"to {_short(night.started)}", colours["soft"], anchor="end")
    colour = colours["late"]
    yield _dot(_x(LATE_UPDATED), middle, colour if finds else colours["paper"], colour)
    said = "found" if finds else "not there yet"
    yield _text(_x(LATE_UPDATED) - 8, below, said, colour, anchor="end", weight="600")


def _legend(colours: Mapping[str, str]) -> Iterator[str]:
    y, ink = _LEGEND, colours["ink"]
    places = (16, 228, 372, 580)
    words = (
        "read again (lookback)",
        "read as new",
        "not in the lake yet",
        "bookmark before, after",
    )
    fills = (("again", "none"), ("new", "none"), ("lake", "frame"))
    for x, (fill, stroke) in zip(places, fills, strict=False):
        edge = colours.get(stroke, "none")
        yield (
            f'<rect x="{x}" y="{y - 11}" width="22" height="14" fill="{colours[fill]}"'
            f' stroke="{edge}"/>'
        )
    yield _bookmark(places[3], y + 5, colours["soft"])
    yield _bookmark(places[3] + 18, y + 5, ink)
    for x, text, gap in zip(places, words, (30, 30, 30, 38), strict=True):
        yield _text(x + gap, y + 1, text, ink)


def _short(instant: datetime) -> str:
    return f"{instant:%a %H:%M}"
