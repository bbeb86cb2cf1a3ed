"""The picture of a page's way from POST to RECORD, docs/images/architecture-*.svg."""

from __future__ import annotations

import typing as t

from scripts.generate.pictures.svg import arrow, box, picture, text

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.generate.pictures.svg import Colors

_WIDTH, _HEIGHT = 900, 452
_SERVICE_Y, _WORKER_Y, _MAIN_Y = 24, 132, 318


def draw(colors: Colors) -> str:
    """Return the picture."""
    return picture(_WIDTH, _HEIGHT, "One page from POST to RECORD", colors, list(_shapes(colors)))


def _shapes(colors: Colors) -> Iterator[str]:
    yield from _lanes(colors)
    yield from _service(colors)
    yield from _workers(colors)
    yield from _main_thread(colors)


def _lanes(colors: Colors) -> Iterator[str]:
    for y, height, name in (
        (_WORKER_Y - 24, 148, "Worker threads: fetch only"),
        (
            _MAIN_Y - 30,
            148,
            "Main thread: converts and writes, in the order of streams and windows",
        ),
    ):
        yield (
            f'<rect x="16" y="{y}" width="{_WIDTH - 32}" height="{height}" rx="8" fill="none"'
            f' stroke="{colors["frame"]}" stroke-dasharray="4 3"/>'
        )
        yield text(30, y + 18, name, colors["soft"], weight="600", size=12)


def _service(colors: Colors) -> Iterator[str]:
    yield box(
        (250, _SERVICE_Y, 450, 46), colors, ["CampusGroups Data Export API"], is_accented=True
    )
    bottom, top = _SERVICE_Y + 46, _WORKER_Y + 14
    for x, label, is_down in (
        (270, "POST", False),
        (340, "queryId", True),
        (430, "GET queryId", False),
        (510, "201, 202", True),
        (580, "GET token", False),
        (652, "page", True),
    ):
        ends = [(x, bottom), (x, top)] if is_down else [(x, top), (x, bottom)]
        yield arrow(ends, colors["new"])
        yield text(x + 6, bottom + 18, label, colors["soft"], size=11)


def _workers(colors: Colors) -> Iterator[str]:
    y, height = _WORKER_Y + 14, 88
    yield box(
        (32, y, 176, height), colors, ["scheduler", "one job per window", "limits active exports"]
    )
    yield box((250, y, 130, height), colors, ["submit", "HTTP client", "retries"])
    yield box((404, y, 130, height), colors, ["poll", "growing interval", "until it has run"])
    yield box((558, y, 112, height), colors, ["paginator", "next token", "until the end"])
    yield box((712, y, 156, height), colors, ["buffer", "prefetched pages", "at most 16 MiB"])
    middle = y + height / 2
    for start, end in ((208, 250), (380, 404), (534, 558), (670, 712)):
        yield arrow([(start, middle), (end, middle)], colors["soft"])


def _main_thread(colors: Colors) -> Iterator[str]:
    y, height = _MAIN_Y, 88
    yield box(
        (712, y, 156, height), colors, ["base stream", "takes the pages", "of one job at a time"]
    )
    yield box(
        (474, y, 196, height),
        colors,
        ["page converter", "fast path: whole page", "fallback: row by row"],
    )
    yield box((290, y, 142, height), colors, ["writer", "RECORD messages"])
    yield box(
        (32, y, 216, height),
        colors,
        ["STATE", "after the last page of a window:", "the next bookmark"],
    )
    middle = y + height / 2
    yield arrow([(790, _WORKER_Y + 102), (790, y)], colors["soft"])
    for start, end in ((712, 670), (474, 432), (290, 248)):
        yield arrow([(start, middle), (end, middle)], colors["soft"])
    for x in (140, 361):
        yield arrow([(x, y + height), (x, _HEIGHT - 4)], colors["new"])
    yield text(371, _HEIGHT - 12, "stdout", colors["soft"], size=12)
    backpressure = "full buffer: workers wait (backpressure)"
    yield text(778, _MAIN_Y - 44, backpressure, colors["soft"], anchor="end", size=12)
