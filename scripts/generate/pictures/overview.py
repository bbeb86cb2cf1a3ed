"""The picture of how the tap fits into a data platform, docs/images/overview-*.svg."""

from __future__ import annotations

import typing as t

from scripts.generate.pictures.svg import arrow, box, picture, text

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from scripts.generate.pictures.svg import Colors

_WIDTH, _HEIGHT = 900, 190
_TOP, _BOX_WIDTH, _BOX_HEIGHT, _STEP, _LEFT = 56, 150, 74, 180, 15

_PARTS: t.Final = (
    ("CampusGroups", "Data Export API"),
    ("tap-campusgroups", "typed records"),
    ("Singer target", "upserts by id"),
    ("Warehouse", "one table per stream"),
    ("Dashboards", "read the models"),
)


def draw(colors: Colors) -> str:
    """Return the picture."""
    return picture(
        _WIDTH, _HEIGHT, "From CampusGroups to a dashboard", colors, list(_shapes(colors))
    )


def _shapes(colors: Colors) -> Iterator[str]:
    middle = _TOP + _BOX_HEIGHT / 2
    for place, lines in enumerate(_PARTS):
        x = _LEFT + _STEP * place
        yield box((x, _TOP, _BOX_WIDTH, _BOX_HEIGHT), colors, lines, is_accented=place == 1)
        if place:
            yield arrow([(x - _STEP + _BOX_WIDTH, middle), (x, middle)], colors["soft"])
    yield from _meltano(colors)
    yield from _dbt(colors)


def _meltano(colors: Colors) -> Iterator[str]:
    """Frame the parts that Meltano runs."""
    x, width = _LEFT + _STEP - 12, _STEP + _BOX_WIDTH + 24
    yield (
        f'<rect x="{x}" y="20" width="{width}" height="{_HEIGHT - 40}" rx="8" fill="none"'
        f' stroke="{colors["frame"]}" stroke-dasharray="4 3"/>'
    )
    yield text(x + 12, 40, "Meltano", colors["soft"], weight="600", size=12)
    state = "state: one bookmark per stream"
    yield text(x + width / 2, 156, state, colors["soft"], anchor="middle", size=12)


def _dbt(colors: Colors) -> Iterator[str]:
    """Draw the models that dbt builds in the warehouse."""
    center, bottom = _LEFT + _STEP * 3 + _BOX_WIDTH / 2, _TOP + _BOX_HEIGHT
    yield (
        f'<path d="M{center + 30} {bottom}v16h-60v-9" fill="none" stroke="{colors["soft"]}"'
        ' stroke-width="1.5"/>'
        f'<path d="M{center - 30} {bottom}l-4.5 9h9z" fill="{colors["soft"]}"/>'
    )
    yield text(center, bottom + 34, "dbt builds models", colors["soft"], anchor="middle", size=12)
