"""Links in all documents resolve, and the example in docs/state.md follows the tap's rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.generate.pictures.state import FIRST, LATE_ARRIVED, LATE_UPDATED, LOOKBACK, SECOND
from tap_campusgroups.config import CONFIG

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/*.md"))
)
STATE = (ROOT / "docs" / "state.md").read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name: str) -> None:
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\((?!https?://)([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", prose)
    for link in (inline or picture for inline, picture in found):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_state_example_has_the_numbers_of_the_picture() -> None:
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:4]]
        for line in STATE.splitlines()
        if len(cells := line.split("|")) == 5
    }
    expected = {
        "start of the run": [night.started for night in (FIRST, SECOND)],
        "bookmark before": [night.bookmark for night in (FIRST, SECOND)],
        "reads `updatedOn` from": [night.range_start for night in (FIRST, SECOND)],
        "newest row in the lake": [night.newest for night in (FIRST, SECOND)],
        "bookmark after": [night.next_bookmark for night in (FIRST, SECOND)],
    }
    for name, times in expected.items():
        assert rows[name] == [f"{at:%a} {at.day} {at:%B %H:%M}" for at in times]
    assert f"{LATE_UPDATED:on %A at %H:%M}" in STATE
    assert f"{LATE_ARRIVED:on %A at %H:%M}" in STATE.replace("\n", " ")


def test_state_example_shows_a_late_row_within_the_lookback() -> None:
    """The row is older than the bookmark, arrives after it, and is within the lookback."""
    assert FIRST.started < LATE_ARRIVED < SECOND.started
    assert SECOND.range_start < LATE_UPDATED < FIRST.next_bookmark
    assert LOOKBACK.total_seconds() == 3600 * CONFIG["properties"]["lookback_hours"]["default"]
