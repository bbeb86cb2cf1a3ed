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
    from collections.abc import Mapping

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


def pipeline(bench: Bench, database: Postgres, name: str, settings: Mapping[str, Any]) -> Candidate:
    """Return the tap piped into target-postgres, which loads into the schema `name`."""
    config, status = bench.home / f"{name}.json", bench.home / f"{name}.status"
    connection = {"sqlalchemy_url": database.sqlalchemy_url, "default_target_schema": name}
    config.write_bytes(msgspec.json.encode({**settings, **connection}))
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
