"""Pictures of the documentation do not depend on a network or a machine."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

IMAGES = Path(__file__).parents[2] / "docs" / "images"
NAMES = ("architecture", "demo", "overview", "state")


def test_every_picture_is_there_for_light_and_dark_pages() -> None:
    found = {path.name for path in IMAGES.iterdir()}
    assert found == {f"{name}-{theme}.svg" for name in NAMES for theme in ("light", "dark")}


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_picture_refers_to_nothing_outside(path: Path) -> None:
    picture = path.read_text(encoding="utf-8")
    assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - ours
    addresses = re.findall(r"\w+://[^\s\"'<)]*", picture)
    assert addresses == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"/(?:tmp|root|home|Users)\b|@import|@font-face|href", picture)
