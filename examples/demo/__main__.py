"""Runs the demo: `python -m demo`, or `make demo`, which makes first what it needs."""

from __future__ import annotations

import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples.demo import service, warehouse
from examples.demo.display import SHOWN_EXPORTS, Display
from tests.support import pipeline
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.simulator import Simulator
    from tests.support.postgres import Postgres

_WEEKS: Final = 20


class DemoError(Exception):
    """The demo did not show what it should."""


def demonstrate(display: Display, simulator: Simulator, database: Postgres, home: Path) -> None:
    """Load twice, make the models, and look at what arrived.

    Args:
        display: Where to show it.
        simulator: The service.
        database: An empty database.
        home: An empty folder.

    Raises:
        DemoError: If a run failed or a table is not as the service is.
        ForeignDatabaseError: If Meltano would load into any other database.
    """
    workspace = pipeline.Workspace(home, service=simulator, database=database)

    def run(command: Sequence[str]) -> None:
        """Run Meltano."""
        with display.progress() as on_line:
            finished = workspace.meltano(*command, on_line=on_line)
        if finished.code != 0:
            display.fail(f"meltano ended with exit code {finished.code}.", finished.output)
            raise DemoError

    def load() -> int:
        """Run the pipeline; return the number of requests."""
        simulator.reset_log()
        run(pipeline.LOAD)
        return len(simulator.requests)

    dataset = simulator.dataset
    rows = sum(service.row_counts(dataset).values())
    display.say("A simulated service, an empty PostgreSQL.")
    display.say(f"Of the {len(dataset.streams)} streams' exports, {len(SHOWN_EXPORTS)} are shown.")
    display.say("\nmeltano run tap-campusgroups target-postgres: everything")
    display.say(f"  {load()} requests, {rows:,} rows")

    display.say(f"\nA day passes: {service.let_a_day_pass(dataset)}.")
    display.say("\nThe same command: what is newer than the bookmark less 48 hours")
    since = datetime.now(UTC)
    requests = load()

    expected = service.row_counts(dataset)
    with database.connect() as connection:
        found = warehouse.count(connection, dataset.streams, since=since)
        loaded = sum(counts.since for counts in found.values())
        display.say(f"  {requests} requests, {loaded} rows\n")
        display.tables(expected, found)
        wrong = [
            stream for stream, rows in expected.items() if not found[stream].are_each_once(rows)
        ]
        if wrong:
            display.fail(f"Not as in the service: {', '.join(wrong)}.")
            raise DemoError
        display.say(f"All {len(expected)} tables have every row of the service, each once.\n")
        display.say("meltano run dbt-postgres:build: the models of transform/ and their tests")
        run(pipeline.MODEL)
        display.say("\nAttendance over time, from the model attendance_by_week:\n")
        weeks = warehouse.attendance(connection, until=since.date(), weeks=_WEEKS)
        display.attendance(weeks)
        busiest = connection.execute(warehouse.BUSIEST_EVENTS)
        columns = [column.name for column in busiest.description or ()]
        display.query(warehouse.BUSIEST_EVENTS.decode(), columns, busiest.fetchall())


def main(rows: Mapping[str, int] | None = None) -> int:
    """Run the demo.

    Args:
        rows: How many rows the service has, by stream; the demo's own numbers if not given.

    Returns:
        The exit code.
    """
    # As on Ctrl-C, the server is stopped and the folders are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    display = Display()
    if missing := pipeline.missing_plugins():
        display.fail(f"Not installed: {', '.join(missing)}. Run `make demo`.")
        return 1
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tap-campusgroups-demo-") as home,
            postgres() as database,
            service.start_service(rows) as simulator,
        ):
            demonstrate(display, simulator, database, Path(home))
    except DemoError:
        return 1
    except (TimeoutError, pipeline.ForeignDatabaseError) as error:
        display.fail(str(error))
        return 1
    except KeyboardInterrupt:
        display.fail("Stopped.")
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
