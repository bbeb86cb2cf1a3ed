"""Release check: `python -m scripts.release.changelog v1.2.0` needs a changelog section."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_TAG = re.compile(r"v(?P<version>\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")


class UnfitForReleaseError(Exception):
    """Something that a release must have is not there; the text says what."""


def section(changelog: str, tag: str) -> str:
    """Find what the changelog says of a release.

    Args:
        changelog: The text of CHANGELOG.md.
        tag: For instance `v1.2.0` or `v1.2.0rc1`.

    Returns:
        The text under the heading `## 1.2.0 - 2026-01-31`.

    Raises:
        UnfitForReleaseError: If the tag is none of a version, or the section is missing or empty.
    """
    if (found := _TAG.fullmatch(tag)) is None:
        msg = f"{tag} is no tag of a version; write it like v1.2.0 or v1.2.0rc1"
        raise UnfitForReleaseError(msg)
    version = re.escape(found["version"])
    heading = re.search(rf"^## {version} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
    if heading is None:
        msg = f"CHANGELOG.md has no heading like: ## {found['version']} - 2026-01-31"
        raise UnfitForReleaseError(msg)
    text = re.split(r"^## ", changelog[heading.end() :], maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not text:
        msg = f"CHANGELOG.md says nothing of {found['version']}"
        raise UnfitForReleaseError(msg)
    return text


def main(arguments: list[str]) -> int:
    """Check the changelog for a tag.

    Args:
        arguments: The tag.

    Returns:
        The exit code.
    """
    (tag,) = arguments
    try:
        print(section((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), tag))  # noqa: T201
    except UnfitForReleaseError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
