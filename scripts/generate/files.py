"""The generated files and their generators."""

from __future__ import annotations

import typing as t
from pathlib import Path

from scripts.generate import hub, masking, picture, reference

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT: t.Final = Path(__file__).parents[2]
"""Root folder of the repository."""

FILES: t.Final[Mapping[str, Callable[[], str]]] = {
    "docs/state-dark.svg": picture.dark,
    "docs/state-light.svg": picture.light,
    "docs/streams.md": reference.text,
    "docs/hub/tap-campusgroups.yml": hub.text,
    "examples/masked.meltano.yml": masking.text,
}
"""Generators by path of the file, relative to the root folder."""
