"""Code blocks of the documents, by page and heading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def read(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """Return the text of a page under a heading of the second level."""
    return read(page).split(f"\n## {heading}\n")[1].split("\n## ")[0]


def block(page: str, heading: str, language: str) -> str:
    """Return the first code block of a language under a heading of the second level."""
    return blocks(section(page, heading), language)[0]


def blocks(text: str, language: str) -> list[str]:
    """Return all code blocks of a language in a text."""
    return [part.split("```")[0] for part in text.split(f"```{language}\n")[1:]]


def read_hub_definition() -> dict[str, Any]:
    """Return the definition for Meltano Hub."""
    definition: dict[str, Any] = yaml.safe_load(read("docs/hub/tap-campusgroups.yml"))
    return definition
