"""The documentation's code blocks and tables, wherever they stand.

The words by which the tests find them are here, so that a document can be rewritten in one place.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]

MASK_STUDENTS = "**Mask students.**"
SCALE_OUT = "## Scale out"
SEVERAL_SCHOOLS = "**Several schools**"


def read(name: str) -> str:
    """Return the text of a document of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(words: str) -> str:
    """Return the only document's text after some words."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    (text,) = (text for page in pages if words in (text := page.read_text(encoding="utf-8")))
    return text.split(words)[1]


def block(words: str, language: str) -> str:
    """Return the first code block of a language after some words."""
    return section(words).split(f"```{language}\n")[1].split("```")[0]
