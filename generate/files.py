"""Which files are generated, and by what."""

from __future__ import annotations

import typing as t
from pathlib import Path

from generate import hub, masking, picture, reference

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT: t.Final = Path(__file__).parent.parent
"""The repository."""

FILES: t.Final[Mapping[str, Callable[[], str]]] = {
    "docs/state-dark.svg": picture.dark,
    "docs/state-light.svg": picture.light,
    "docs/streams.md": reference.text,
    "hub/tap-campusgroups.yml": hub.text,
    "masked.meltano.yml": masking.text,
}
"""Path of each generated file, from the repository's root, and what gives its text."""
