"""The tap piped into target-postgres."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import yaml
from psycopg import sql

from tests.support.pipeline import PROJECT, plugin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.benchmarks.measurement import Bench, Candidate
    from tests.support.postgres import Postgres


def project() -> dict[str, Any]:
    """Return the contents of `meltano.yml`."""
    found: dict[str, Any] = yaml.safe_load((PROJECT / "meltano.yml").read_text(encoding="utf-8"))
    return found


def loader_settings() -> dict[str, Any]:
    """Return the loader's settings of `meltano.yml`."""
    loaders = {one["name"]: one for one in project()["plugins"]["loaders"]}
    settings = loaders["target-postgres"]["settings"]
    return {one["name"]: one["value"] for one in settings if "value" in one}


def pipeline(bench: Bench, name: str, settings: Mapping[str, Any], database: Postgres) -> Candidate:
    """Return the tap piped into target-postgres, which loads into the schema `name`."""
    config, status = bench.home / f"{name}.json", bench.home / f"{name}.status"
    values = {"sqlalchemy_url": database.sqlalchemy_url, **settings, "default_target_schema": name}
    config.write_bytes(msgspec.json.encode(values))
    tap, loader = bench.taps()[0], plugin("target-postgres")
    # Isolated, because PYTHONPATH has the tap's SDK.
    loading = [loader.with_name("python"), "-I", loader, "--config", config]
    script = (
        f"{{ {shlex.join(map(str, tap.command))}; echo $? > {status}; }} | "
        f"{shlex.join(map(str, loading))} && exit $(cat {status})"
    )

    def drop() -> None:
        with database.connect() as connection:
            statement = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE")
            connection.execute(statement.format(sql.Identifier(name)))

    variables = {variable: str(value) for variable, value in project()["env"].items()}
    command = ("/bin/sh", "-c", script)
    return replace(tap, name=name, command=command, variables=variables, prepare=drop)


def missing_rows(database: Postgres, schema: str, rows: Mapping[str, int]) -> str | None:
    """Return a problem if a schema's tables do not have the service's numbers of rows."""
    for stream, count in rows.items():
        if len(database.rows(schema, stream)) != count:
            return f"did not load every row of {stream}"
    return None


def different_values(
    database: Postgres, schema: str, other: str, streams: Iterable[str]
) -> str | None:
    """Return a problem if the tables of two schemas, with as many rows, differ in a value.

    Values are compared as text: `12.5` differs from `12.50`, and a JSON null from a missing value.
    The loader's own columns, such as the time of the load, are not compared.
    """
    names = (
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s"
        " AND table_name = %s AND left(column_name, 5) <> '_sdc_'"
    )
    query = sql.SQL(
        "SELECT count(*) FROM (SELECT ROW({columns})::text FROM {first}"
        " EXCEPT ALL SELECT ROW({columns})::text FROM {second}) AS differing"
    )
    with database.connect() as connection:
        for stream in streams:
            columns = [
                sql.Identifier(name) for (name,) in connection.execute(names, (schema, stream))
            ]
            tables = {
                "first": sql.Identifier(schema, stream),
                "second": sql.Identifier(other, stream),
            }
            found = connection.execute(query.format(columns=sql.SQL(", ").join(columns), **tables))
            if (count := found.fetchone()) != (0,):
                return f"loaded other values than {other} in rows of {stream}: {count}"
    return None
