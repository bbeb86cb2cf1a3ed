"""The loader blocks of docs/warehouses.md agree with `meltano.yml` and the schemas."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.simulator import Dataset
from tests.support import documents
from tests.support.harness import NEWEST

PAGE = "docs/warehouses.md"


def block(heading: str) -> dict[str, Any]:
    """Return the YAML block under a heading."""
    found: dict[str, Any] = yaml.safe_load(documents.block(PAGE, heading, "yaml"))
    return found


def settings(loader: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a loader that have a value."""
    return {one["name"]: one["value"] for one in loader["settings"] if "value" in one}


def test_postgres_block_equals_meltano_yml() -> None:
    project = yaml.safe_load(documents.read("meltano.yml"))
    loaders = {loader["name"]: loader for loader in project["plugins"]["loaders"]}
    ours = loaders["target-postgres"]
    pasted = block("PostgreSQL")
    (loader,) = pasted["plugins"]["loaders"]
    assert pasted["env"] == project["env"]
    assert loader["pip_url"] == ours["pip_url"]
    # The loader's default.
    assert {**settings(loader), "use_copy": False} == settings(ours)


@pytest.mark.parametrize("heading", ["PostgreSQL", "DuckDB and Parquet", "CSV"])
def test_loader_block_needs_nothing_from_the_hub(heading: str) -> None:
    (loader,) = block(heading)["plugins"]["loaders"]
    assert loader["namespace"] == loader["name"].replace("-", "_")
    assert loader["pip_url"]
    assert "$MELTANO_EXTRACT__LOAD_SCHEMA" in str(settings(loader))


def test_quoted_columns_of_the_example_exist() -> None:
    query = documents.block(PAGE, "camelCase columns", "sql")
    quoted = set(re.findall(r'"(\w+)"', query))
    assert quoted
    assert quoted <= Dataset(0, newest=NEWEST).schema("checkins")["properties"].keys()
