"""Load two simulated schools with Dagster: `make orchestrate`."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

import yaml
from dagster import DagsterEventType, DagsterInstance
from psycopg import sql

from tests.simulator import Dataset, Simulator
from tests.support import pipeline
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.support.postgres import Postgres

JOB: Final = "campusgroups"
MAX_CONCURRENT_EXPORTS: Final = 4

_EVENTS: Final = {
    DagsterEventType.STEP_START: "started",
    DagsterEventType.STEP_RESTARTED: "started again",
    DagsterEventType.STEP_SUCCESS: "succeeded",
    DagsterEventType.STEP_FAILURE: "failed",
    DagsterEventType.STEP_UP_FOR_RETRY: "failed, will be retried",
}


def prepare(
    schools: Mapping[str, Simulator], database: Postgres, home: Path, **plan: Any
) -> pipeline.Workspace:
    """Create a workspace for Dagster with a plan for some schools.

    Args:
        schools: The schools by PostgreSQL schema; missing schemas are created.
        database: Where to load to; also Meltano's system database.
        home: An empty folder.
        **plan: Further keys of the plan; `max_concurrent_exports` applies to each school, and
            `with_models` adds the dbt models of each.

    Raises:
        ForeignDatabaseError: If Meltano would load into another database.
    """
    workspace = pipeline.Workspace(home, database=database)
    limit = plan.pop("max_concurrent_exports", MAX_CONCURRENT_EXPORTS)
    with_models = plan.pop("with_models", False)
    secrets = {f"{schema.upper()}_SECRET": school.api_secret for schema, school in schools.items()}
    entries = [
        {
            "code": school.school_code,
            "api_secret_variable": variable,
            "schema": schema,
            "max_concurrent_exports": limit,
            "api_url": school.url,
            "models_schema": f"{schema}_analytics" if with_models else None,
        }
        for (schema, school), variable in zip(schools.items(), secrets, strict=True)
    ]
    with database.connect() as connection:
        for schema in schools:
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'.encode())
    file = home / "schools.yml"
    file.write_text(yaml.safe_dump({"schools": entries, **plan}), encoding="utf-8")
    workspace.environment |= {
        **secrets,
        "CAMPUSGROUPS_SCHOOLS": str(file),
        "MELTANO_DATABASE_URI": database.sqlalchemy_url,
    }
    return workspace


def execute(workspace: pipeline.Workspace) -> pipeline.Finished:
    """Run the job with its own executor."""
    return workspace.dagster("job", "execute", "-m", "examples.dagster.definitions", "-j", JOB)


def step_events(home: Path) -> list[tuple[datetime, str, str]]:
    """Return time, step and event of every start and end of a step, from Dagster's event log."""
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        return [
            (
                datetime.fromtimestamp(record.timestamp, UTC),
                record.dagster_event.step_key or "",
                _EVENTS[record.dagster_event.event_type],
            )
            for run in instance.get_run_records(ascending=True)
            for record in instance.all_logs(run.dagster_run.run_id)
            if record.dagster_event is not None and record.dagster_event.event_type in _EVENTS
        ]


def results(home: Path) -> tuple[dict[tuple[str, ...], int], dict[tuple[str, ...], str]]:
    """Return the first rows of each stream, and the reasons of the checks that failed last."""
    rows: dict[tuple[str, ...], int] = {}
    failed: dict[tuple[str, ...], str] = {}
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        for run in instance.get_run_records(ascending=True):
            for record in instance.all_logs(run.dagster_run.run_id):
                event = record.dagster_event
                if event is None:
                    continue
                if event.is_step_materialization and event.asset_key:
                    metadata = event.step_materialization_data.materialization.metadata
                    if "rows" in metadata:
                        # A retry reads only the lookback again.
                        rows.setdefault(
                            tuple(event.asset_key.path), int(str(metadata["rows"].value))
                        )
                elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
                    check = event.asset_check_evaluation_data
                    key = tuple(check.asset_key.path)
                    failed.pop(key, None)
                    if not check.passed:
                        failed[key] = check.description or ""
    return rows, failed


def main(
    names: Sequence[str] = ("north_college", "south_college"),
    groups: Sequence[str] = ("events", "people", "money", "content"),
) -> int:
    """Run the demo and return the exit code.

    Args:
        names: PostgreSQL schemas of the schools.
        groups: Groups of streams to run.
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
        write(
            f"Dagster runs {len(groups)} groups of streams for {len(names)} schools, two at once."
        )
        workspace.meltano("upgrade", "database")
        finished = execute(workspace)
        for time, step, event in step_events(home):
            write(f"  {time:%H:%M:%S}  {step.replace('__', ' / '):26} {event}")
        is_complete = finished.code == 0
        for schema, school in schools.items():
            exported = {request.stream for request in school.requests}
            rows = sum(
                len(school.dataset[name]) for name in school.dataset.streams if name in exported
            )
            loaded = count(database, schema)
            is_complete &= loaded == rows > 0
            write(
                f"{schema}: {rows:,} rows at the service, {loaded:,} in PostgreSQL; at most"
                f" {school.peak_active} of {MAX_CONCURRENT_EXPORTS} allowed exports at once"
            )
        if not is_complete:
            print(finished.output, file=sys.stderr)  # noqa: T201
        return 0 if is_complete else 1


def wait_for(condition: Callable[[], object], *, seconds: float = 1800) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: If it does not hold in time.
    """
    deadline = monotonic() + seconds
    while not condition():
        if monotonic() > deadline:
            message = f"the demo made no progress for {seconds:.0f} s"
            raise TimeoutError(message)
        sleep(0.5)


def write(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201


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
