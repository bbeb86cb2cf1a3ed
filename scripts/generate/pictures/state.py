"""The picture of two nightly runs, docs/images/state-*.svg.

Ranges and bookmarks are computed by the tap's own rule.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from scripts.generate.pictures.svg import picture, text
from tap_campusgroups.config import EARLIEST
from tap_campusgroups.records.values import format_timestamp, parse_timestamp
from tap_campusgroups.state import next_bookmark, range_start

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.generate.pictures.svg import Colors


def _at(day: int, hour: int) -> datetime:
    return datetime(2025, 3, day, hour, tzinfo=UTC)


LOOKBACK: t.Final = timedelta(hours=48)
"""The default of `lookback_hours`."""

BOOKMARK: t.Final = _at(9, 8)
"""The bookmark before the first run."""

LATE_UPDATED, LATE_ARRIVED = _at(10, 6), _at(11, 10)
"""The late row: its `updatedOn`, and when it reaches the data lake."""

FROM, TO = _at(7, 0), _at(12, 12)
"""The range of the picture."""


@dataclass(frozen=True)
class Night:
    """A nightly run.

    Attributes:
        bookmark: The bookmark before the run.
        newest: `updatedOn` of the newest row in the data lake at that time.
    """

    bookmark: datetime
    newest: datetime
    started: datetime

    @property
    def range_start(self) -> datetime:
        """The start of the exported range."""
        return range_start(self.bookmark, start_date=EARLIEST, lookback=LOOKBACK)

    @property
    def next_bookmark(self) -> datetime:
        """The bookmark after the run."""
        after = next_bookmark(
            format_timestamp(self.bookmark),
            newest=format_timestamp(self.newest),
            end=format_timestamp(self.started),
            watermark=format_timestamp(self.started - LOOKBACK),
        )
        return t.cast("datetime", parse_timestamp(after))


FIRST: t.Final = Night(BOOKMARK, newest=_at(10, 8), started=_at(11, 5))
SECOND: t.Final = Night(FIRST.next_bookmark, newest=_at(11, 10), started=_at(12, 5))

_WIDTH, _HEIGHT = 900, 372
_LEFT, _RIGHT = 132, 876
_AXIS, _ROW, _LANES, _BAR, _LEGEND = 44, 84, (146, 236), 26, 340


def draw(colors: Colors) -> str:
    """Return the picture."""
    title = "Two nightly runs, and a row that reaches the data lake between them"
    shapes = [
        *_axis(colors),
        *_late_row(colors),
        *_night(colors, FIRST, _LANES[0], "First night", finds=False),
        *_night(colors, SECOND, _LANES[1], "Second night", finds=True),
        *_legend(colors),
    ]
    return picture(_WIDTH, _HEIGHT, title, colors, shapes)


def _x(timestamp: datetime) -> float:
    return round(_LEFT + (_RIGHT - _LEFT) * ((timestamp - FROM) / (TO - FROM)), 1)


def _bar(start: float, end: float, y: float, fill: str, stroke: str = "none") -> str:
    return (
        f'<rect x="{start}" y="{y}" width="{end - start:.1f}" height="{_BAR}" fill="{fill}"'
        f' stroke="{stroke}"/>'
    )


def _dot(x: float, y: float, fill: str, stroke: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="6" fill="{fill}" stroke="{stroke}" stroke-width="2"/>'


def _bookmark(x: float, y: float, fill: str) -> str:
    """Return a flag with its foot at a point."""
    return (
        f'<path d="M{x} {y}V{y - 20}h11l-4 4.5l4 4.5h-11" fill="{fill}" stroke="{fill}"'
        ' stroke-width="1.5"/>'
    )


def _axis(colors: Colors) -> Iterator[str]:
    yield text(16, _AXIS - 16, "updatedOn, March", colors["soft"])
    yield f'<path d="M{_LEFT} {_AXIS}H{_RIGHT}" stroke="{colors["soft"]}"/>'
    day = FROM
    while day < TO:
        x, next_day = _x(day), day + timedelta(days=1)
        yield (
            f'<path d="M{x} {_AXIS - 5}V{_LANES[1] + 60}" stroke="{colors["frame"]}"'
            ' stroke-dasharray="2 4"/>'
        )
        middle = (x + _x(min(next_day, TO))) / 2
        yield text(middle, _AXIS - 16, f"{day:%a} {day.day}", colors["soft"], anchor="middle")
        day = next_day


def _late_row(colors: Colors) -> Iterator[str]:
    start, end, color = _x(LATE_UPDATED), _x(LATE_ARRIVED), colors["late"]
    yield text(16, _ROW + 5, "A late row", color, weight="600")
    yield (
        f'<path d="M{start} {_ROW}V{_LANES[1] + _BAR / 2}" stroke="{color}" stroke-width="1.5"'
        ' stroke-dasharray="4 3"/>'
    )
    yield f'<path d="M{start} {_ROW}H{end - 7}" stroke="{color}" stroke-width="2"/>'
    yield f'<path d="M{end} {_ROW}l-9 -5v10z" fill="{color}"/>'
    yield _dot(start, _ROW, color, color)
    yield text(start - 12, _ROW + 5, f"updated {_short(LATE_UPDATED)}", color, anchor="end")
    yield text(end + 8, _ROW + 5, f"in the lake {_short(LATE_ARRIVED)}", color)


def _night(colors: Colors, night: Night, y: float, name: str, *, finds: bool) -> Iterator[str]:
    ink, middle = colors["ink"], y + _BAR / 2
    yield text(16, y + 11, name, ink, weight="600")
    yield text(16, y + 28, _short(night.started), colors["soft"])
    start, old, newest, end = map(
        _x, (night.range_start, night.bookmark, night.newest, night.started)
    )
    yield _bar(start, old, y, colors["again"])
    yield _bar(old, newest, y, colors["new"])
    yield _bar(newest, end, y, colors["lake"], colors["frame"])
    yield _bookmark(old, y, colors["soft"])
    yield _bookmark(_x(night.next_bookmark), y, ink)
    below = y + _BAR + 17
    yield text(start, below, f"from {_short(night.range_start)}", colors["soft"])
    yield text(end, below, f"to {_short(night.started)}", colors["soft"], anchor="end")
    color = colors["late"]
    yield _dot(_x(LATE_UPDATED), middle, color if finds else colors["paper"], color)
    status = "found" if finds else "not there yet"
    yield text(_x(LATE_UPDATED) - 8, below, status, color, anchor="end", weight="600")


def _legend(colors: Colors) -> Iterator[str]:
    y, ink = _LEGEND, colors["ink"]
    places = (16, 228, 372, 580)
    words = (
        "re-read (lookback)",
        "new rows",
        "not in the lake yet",
        "bookmark before, after",
    )
    fills = (("again", "none"), ("new", "none"), ("lake", "frame"))
    for x, (fill, stroke) in zip(places, fills, strict=False):
        edge = colors.get(stroke, "none")
        yield (
            f'<rect x="{x}" y="{y - 11}" width="22" height="14" fill="{colors[fill]}"'
            f' stroke="{edge}"/>'
        )
    yield _bookmark(places[3], y + 5, colors["soft"])
    yield _bookmark(places[3] + 18, y + 5, ink)
    for x, word, gap in zip(places, words, (30, 30, 30, 38), strict=True):
        yield text(x + gap, y + 1, word, ink)


def _short(timestamp: datetime) -> str:
    return f"{timestamp:%a %H:%M}"
