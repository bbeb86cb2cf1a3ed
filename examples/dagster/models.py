"""The dbt models of a school as assets, downstream of its streams.

Without `from __future__ import annotations`: Dagster reads the annotations at run time.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, dbt_assets

from examples.dagster.plan import PROJECT, Plan, School
from examples.dagster.steps import without_secrets

_SYSTEM = Path(os.environ.get("MELTANO_SYS_DIR_ROOT") or PROJECT / ".meltano")
MANIFEST = _SYSTEM / "dbt" / "target" / "manifest.json"
"""Written by `meltano invoke dbt-postgres parse`."""


class _Translator(DagsterDbtTranslator):
    """Puts the models of each school next to its streams."""

    def __init__(self, school: School) -> None:
        super().__init__()
        self._school = school

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> AssetKey:
        """Return the key of a stream or a model."""
        is_source = dbt_resource_props["resource_type"] == "source"
        schema = self._school.schema if is_source else self._school.models_schema
        return AssetKey([str(schema), dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Return the group of the school."""
        return self._school.schema


def create_models(plan: Plan, school: School) -> AssetsDefinition:
    """Return the assets for the dbt models of a school; a step builds and tests all of them."""
    if not MANIFEST.exists():
        message = "the dbt project has no manifest. Run `meltano invoke dbt-postgres parse` first."
        raise FileNotFoundError(message)

    @dbt_assets(
        manifest=MANIFEST,
        name=f"{school.schema}__models",
        dagster_dbt_translator=_Translator(school),
        pool=school.schema,
    )
    def build(context: AssetExecutionContext) -> Iterator[Any]:
        folder = PROJECT / "examples" / "dbt"
        executable = _SYSTEM / "utilities" / "dbt-postgres" / "venv" / "bin" / "dbt"
        dbt = DbtCliResource(
            project_dir=str(folder), profiles_dir=str(folder), dbt_executable=str(executable)
        )
        with _environment(plan, school):
            yield from dbt.cli(["build"], context=context).stream()

    return build


@contextmanager
def _environment(plan: Plan, school: School) -> Iterator[None]:
    """Set the environment of dbt: that of the process, with the schemas and without any secret."""
    saved = dict(os.environ)
    variables = without_secrets(plan) | {
        "DBT_POSTGRES_RAW_SCHEMA": school.schema,
        "DBT_POSTGRES_SCHEMA": str(school.models_schema),
    }
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
