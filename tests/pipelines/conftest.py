"""Fixtures of the tests with real Meltano, dbt, Dagster and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import pipeline, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def _plugins() -> None:
    if missing := pipeline.missing_plugins():
        pytest.fail(f"not installed: {', '.join(missing)}; `make test` installs them")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server for the databases of all tests."""
    with postgres.postgres_server() as url:
        yield url
