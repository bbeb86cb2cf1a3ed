"""Check that the changelog has a section for a release.

Usage: `python -m scripts.release.changelog v1.2.0`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_TAG = re.compile(r"v(?P<version>\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")


class UnfitForReleaseError(Exception):
    """The release is incomplete; the message names the reason."""


def section(changelog: str, tag: str) -> str:
    """Return the changelog's section for a release.

    Args:
        changelog: The content of CHANGELOG.md.
        tag: A version tag, such as `v1.2.0` or `v1.2.0rc1`.

    Returns:
        The text below the heading `## 1.2.0 - 2026-01-31`.

    Raises:
        UnfitForReleaseError: If the tag is not a version, or if the section is missing or empty.
    """
    if (found := _TAG.fullmatch(tag)) is None:
        msg = f"{tag} is not a version tag; use a tag such as v1.2.0 or v1.2.0rc1"
        raise UnfitForReleaseError(msg)
    version = re.escape(found["version"])
    heading = re.search(rf"^## {version} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
    if heading is None:
        msg = f'CHANGELOG.md has no section "## {found["version"]} - YYYY-MM-DD"'
        raise UnfitForReleaseError(msg)
    text = re.split(r"^## ", changelog[heading.end() :], maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not text:
        msg = f"The section of {found['version']} in CHANGELOG.md is empty"
        raise UnfitForReleaseError(msg)
    return text


def main(arguments: list[str]) -> int:
    """Print the section of a tag, and return the exit code."""
    (tag,) = arguments
    try:
        print(section((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), tag))  # noqa: T201
    except UnfitForReleaseError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
