"""The tables that target-postgres wrote, and the comparison of all their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml
from psycopg import sql

from tests.support.loaded_values import differences
from tests.support.pipeline import PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.simulator import Row
    from tests.support.postgres import Postgres

LOADER: Final = "target-postgres"

PROJECT_SETTINGS: Final = "meltano.yml"
VALIDATING: Final = "validate_records: true"
"""Names of the two sets of loader settings."""


def project_environment() -> dict[str, str]:
    """Return the environment variables of `meltano.yml`."""
    return {name: str(value) for name, value in _project()["env"].items()}


def project_settings() -> dict[str, Any]:
    """Return the loader's settings of `meltano.yml`."""
    (loader,) = (one for one in _project()["plugins"]["loaders"] if one["name"] == LOADER)
    return {one["name"]: one["value"] for one in loader["settings"] if "value" in one}


def _project() -> dict[str, Any]:
    project: dict[str, Any] = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
    return project


@dataclass(frozen=True)
class Warehouse:
    """A database with one schema per set of loader settings.

    Attributes:
        database: The database.
        rows: The service's rows by stream.
    """

    database: Postgres
    rows: Mapping[str, Sequence[Row]]

    def write_config(self, file: Path, schema: str, settings: Mapping[str, Any]) -> None:
        """Write the loader's configuration for a schema."""
        connection = {
            "sqlalchemy_url": self.database.sqlalchemy_url,
            "default_target_schema": schema,
        }
        file.write_bytes(msgspec.json.encode({**settings, **connection}))

    def drop(self, schema: str) -> None:
        """Drop a schema."""
        with self.database.connect() as connection:
            connection.execute(
                sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
            )

    def missing_rows(self, schema: str) -> str | None:
        """Return the problem if a schema does not have as many rows as the service."""
        wrong = []
        with self.database.connect() as connection:
            for stream, rows in self.rows.items():
                query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, stream))
                found = connection.execute(query).fetchone()
                if found != (len(rows),):
                    wrong.append(stream)
        return f"did not load every row of {', '.join(wrong)}" if wrong else None

    def difference(self, schema: str, other: str) -> str | None:
        """Return the first difference of two schemas in the type or the value of a column.

        Values are compared as text, digit by digit. The loader's own `_sdc_` columns are left out.
        """
        columns = self._columns(schema)
        if columns != self._columns(other):
            return "created tables with other columns"
        with self.database.connect() as connection:
            for stream in self.rows:
                names = [name for name, _ in columns[stream]]
                first, second = (
                    sql.SQL(", ").join(sql.Identifier(side, name) for name in names)
                    for side in ("first", "second")
                )
                query = sql.SQL(
                    "SELECT id FROM {} AS first FULL JOIN {} AS second USING (id)"
                    " WHERE row({})::text IS DISTINCT FROM row({})::text LIMIT 1"
                ).format(
                    sql.Identifier(schema, stream), sql.Identifier(other, stream), first, second
                )
                if found := connection.execute(query).fetchone():
                    return f"loaded other values of {stream} {found[0]}"
        return None

    def difference_from_service(
        self, schema: str, definitions: Mapping[str, Mapping[str, Any]]
    ) -> str | None:
        """Return the first difference of a schema from the service's rows.

        Args:
            schema: The schema.
            definitions: JSON schemas by stream.
        """
        for stream, rows in self.rows.items():
            loaded = {row["id"]: row for row in self.database.rows(schema, stream)}
            for row in rows:
                sent = {"_extra": None, **row}
                if found := differences(definitions[stream], sent, loaded[row["id"]]):
                    return f"changed {stream} {row['id']} {found[0]}"
        return None

    def _columns(self, schema: str) -> dict[str, list[tuple[str, str]]]:
        query = (
            "SELECT table_name, column_name, udt_name FROM information_schema.columns"
            " WHERE table_schema = %s AND NOT starts_with(column_name, '_sdc_')"
            " ORDER BY table_name, ordinal_position"
        )
        columns: dict[str, list[tuple[str, str]]] = {}
        with self.database.connect() as connection:
            for table, name, kind in connection.execute(query, [schema]):
                columns.setdefault(table, []).append((name, kind))
        return columns
