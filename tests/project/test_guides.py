"""The pages of docs/ and of the repository: links lead somewhere, numbers are those of the tap."""

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
    """List the headings of a page as the hosting platform links to them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
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


def test_the_picture_s_nights_are_those_of_the_text() -> None:
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:4]]
        for line in STATE.splitlines()
        if len(cells := line.split("|")) == 5
    }
    expected = {
        "the run starts": [night.started for night in (FIRST, SECOND)],
        "bookmark before it": [night.bookmark for night in (FIRST, SECOND)],
        "reads `updatedOn` from": [night.range_start for night in (FIRST, SECOND)],
        "newest row in the lake": [night.newest for night in (FIRST, SECOND)],
        "bookmark after it": [night.next_bookmark for night in (FIRST, SECOND)],
    }
    for name, instants in expected.items():
        assert rows[name] == [f"{at:%a} {at.day} {at:%B %H:%M}" for at in instants]
    assert f"{LATE_UPDATED:on %A at %H:%M}" in STATE
    assert f"{LATE_ARRIVED:on %A at %H:%M}" in STATE.replace("\n", " ")


def test_the_example_shows_what_it_is_about() -> None:
    """The row is older than the bookmark, came after it, and lies in the lookback."""
    assert FIRST.started < LATE_ARRIVED < SECOND.started
    assert SECOND.range_start < LATE_UPDATED < FIRST.next_bookmark
    assert LOOKBACK.total_seconds() == 3600 * CONFIG["properties"]["lookback_hours"]["default"]
