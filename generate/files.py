"""Which files are generated, and by what."""

from __future__ import annotations

import typing as t
from pathlib import Path

from generate.masking import masked_meltano_yml
from generate.picture import pictures
from generate.reference import reference

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT: t.Final = Path(__file__).parent.parent
"""The repository."""

FILES: t.Final[Mapping[str, Callable[[], str]]] = {
    "masked.meltano.yml": masked_meltano_yml,
    "docs/streams.md": reference,
    **pictures(),
}
"""Path of each generated file, from the repository's root, and what gives its text."""
