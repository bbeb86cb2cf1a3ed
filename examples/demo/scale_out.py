"""Two simulated schools with Dagster: `python -m examples.demo.scale_out`."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from psycopg import sql

from tests.simulator import Dataset, Simulator
from tests.support import pipeline
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.postgres import Postgres

JOB: Final = "campusgroups"


def prepare(
    schools: Mapping[str, Simulator], database: Postgres, home: Path, **plan: Any
) -> pipeline.Workspace:
    """Make a workspace for Dagster with a plan for some schools.

    Args:
        schools: The schools by the name of their PostgreSQL schema, which is made.
        database: Where to load to.
        home: An empty folder.
        **plan: More of the plan; `max_concurrent_exports` is each school's.

    Raises:
        ForeignDatabaseError: If Meltano would load into any other database.
    """
    workspace = pipeline.Workspace(home, database=database)
    cap = plan.pop("max_concurrent_exports", 4)
    secrets = {f"{schema.upper()}_SECRET": one.api_secret for schema, one in schools.items()}
    entries = [
        {
            "code": one.school_code,
            "api_secret_variable": variable,
            "schema": schema,
            "max_concurrent_exports": cap,
            "api_url": one.url,
        }
        for (schema, one), variable in zip(schools.items(), secrets, strict=True)
    ]
    with database.connect() as connection:
        for schema in schools:
            connection.execute(f'CREATE SCHEMA "{schema}"'.encode())
    file = home / "schools.yml"
    file.write_text(yaml.safe_dump({"schools": entries, **plan}), encoding="utf-8")
    workspace.environment |= {**secrets, "CAMPUSGROUPS_SCHOOLS": str(file)}
    return workspace


def execute(workspace: pipeline.Workspace) -> pipeline.Finished:
    """Run the job on its own executor."""
    return workspace.dagster("job", "execute", "-m", "examples.dagster.definitions", "-j", JOB)


def main(
    names: Sequence[str] = ("north_college", "south_college"),
    groups: Sequence[str] = ("events", "people", "money", "content"),
) -> int:
    """Run the demo.

    Args:
        names: Of the schools' schemas.
        groups: Which groups of streams to run.

    Returns:
        The exit code.
    """
    newest = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tap-campusgroups-")))
        database = stack.enter_context(postgres())
        schools = {
            schema: stack.enter_context(
                Simulator(
                    Dataset(100, seed=seed, newest=newest),
                    school_code=schema.replace("_", "-"),
                    api_secret=f"secret-of-{schema}",
                    running_seconds=0.3,
                )
            )
            for seed, schema in enumerate(names)
        }
        workspace = prepare(schools, database, home, workers=2, groups=list(groups))
        finished = execute(workspace)
        print(workspace.timeline().output)  # noqa: T201
        is_complete = finished.code == 0
        for schema, school in schools.items():
            asked = {one.stream for one in school.requests}
            rows = sum(
                len(school.dataset[name]) for name in school.dataset.streams if name in asked
            )
            loaded = count(database, schema)
            is_complete &= loaded == rows > 0
            print(  # noqa: T201
                f"{schema}: {rows:,} rows at the service, {loaded:,} in PostgreSQL; at most"
                f" {school.peak_active} exports at once, of 4"
            )
        if not is_complete:
            print(finished.output, file=sys.stderr)  # noqa: T201
        return 0 if is_complete else 1


def count(database: Postgres, schema: str) -> int:
    """Count the rows of all tables of a schema."""
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
    with database.connect() as connection:
        return sum(
            rows
            for (table,) in connection.execute(tables, [schema]).fetchall()
            for (rows,) in connection.execute(
                sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
            )
        )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (TimeoutError, pipeline.ForeignDatabaseError) as error:
        sys.exit(str(error))
