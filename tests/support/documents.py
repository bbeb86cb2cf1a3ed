"""Code blocks of the documents, by page and heading."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def read(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """Return the text of a page under a heading of the second level."""
    return read(page).split(f"\n## {heading}\n")[1].split("\n## ")[0]


def block(page: str, heading: str, language: str) -> str:
    """Return the first code block of a language under a heading of the second level."""
    return section(page, heading).split(f"```{language}\n")[1].split("```")[0]


def blocks(page: str, language: str) -> list[str]:
    """Return all code blocks of a language on a page."""
    return [part.split("```")[0] for part in read(page).split(f"```{language}\n")[1:]]
