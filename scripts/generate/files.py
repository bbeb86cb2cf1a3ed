"""The generated files and their generators."""

from __future__ import annotations

import typing as t
from functools import partial
from pathlib import Path

from scripts.generate import hub, joins, masking, readers, reference, targets
from scripts.generate.pictures import architecture, overview, state
from scripts.generate.pictures.svg import DARK, LIGHT

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT: t.Final = Path(__file__).parents[2]
"""Root folder of the repository."""

FILES: t.Final[Mapping[str, Callable[[], str]]] = {
    "docs/images/architecture-dark.svg": partial(architecture.draw, DARK),
    "docs/images/architecture-light.svg": partial(architecture.draw, LIGHT),
    "docs/images/overview-dark.svg": partial(overview.draw, DARK),
    "docs/images/overview-light.svg": partial(overview.draw, LIGHT),
    "docs/images/state-dark.svg": partial(state.draw, DARK),
    "docs/images/state-light.svg": partial(state.draw, LIGHT),
    "docs/joins.md": joins.text,
    "docs/streams.md": reference.text,
    "docs/targets.md": targets.text,
    "docs/hub/tap-campusgroups.yml": hub.text,
    "examples/clickhouse.sql": readers.clickhouse,
    "examples/duckdb.sql": readers.duckdb,
    "examples/masked.meltano.yml": masking.text,
}
"""Generators by path of the file, relative to the root folder."""
