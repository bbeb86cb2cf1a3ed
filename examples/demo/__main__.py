"""Run the demo: `make demo`, or `python -m examples.demo` if everything is installed."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from examples.demo import campus, warehouse
from examples.demo.display import Display
from tests.simulator import FailQuery, Simulator, Status
from tests.support import pipeline
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.demo.campus import NextDay
    from tests.simulator import Dataset
    from tests.support.postgres import Postgres

_WEEKS: Final = 14
_BUDGETS: Final = 8
_START_DATE: Final = "2024-06-01"
_NEXT_STEPS: Final = {
    "README.md": "connect the tap to your school",
    "meltano.yml": "the project that this demo ran",
    "examples/dbt": "the models, to copy into your own dbt project",
    "tests/simulator": "the simulator, to try the tap by hand",
}
_PLUGINS: Final = (pipeline.TAP, "target-postgres", "dbt-postgres")
_IMAGES: Final = pipeline.PROJECT / "docs" / "images"


class DemoError(Exception):
    """The demo did not show what it should."""


class Demo:
    """The demo's parts and its steps."""

    def __init__(
        self, display: Display, simulator: Simulator, database: Postgres, home: Path
    ) -> None:
        """Create a Meltano project in an empty folder.

        Raises:
            ForeignDatabaseError: If Meltano would load into another database.
        """
        self._display = display
        self._simulator = simulator
        self._database = database
        self._workspace = pipeline.Workspace(home, service=simulator, database=database)

    @property
    def _dataset(self) -> Dataset:
        return self._simulator.dataset

    def _row_counts(self) -> dict[str, int]:
        return {stream: len(self._dataset[stream]) for stream in self._dataset.streams}

    def run(self, next_day: NextDay) -> None:
        """Run all steps.

        Raises:
            DemoError: If a run fails or a table differs from the service.
        """
        self._introduce()
        self._load_everything()
        self._load_next_day_and_build_models(next_day)
        self._show_models()
        self._display.next_steps(_NEXT_STEPS)

    def _introduce(self) -> None:
        show = self._display
        rows = self._row_counts()
        show.heading("1. What is simulated")
        show.say(
            f"A university: {rows['users']} people, {rows['groups']} groups, one academic year."
        )
        show.say(
            f"A simulator serves its {sum(rows.values()):,} rows in {len(rows)} streams on this"
            " machine, as the API would."
        )
        show.say("PostgreSQL is real. Its database is empty and is deleted at the end.")
        show.say(f"The simulated time is {campus.FIRST_RUN:%A, %d %B %Y, %H:%M} UTC.")

    def _load_everything(self) -> None:
        show = self._display
        show.heading("2. The first run loads everything")
        self._simulator.inject(Status(503).on("events", "first_page"))
        self._simulator.inject(FailQuery().on("rsvp", "first_page"))
        requests = self._load(campus.FIRST_RUN)
        show.say(
            f"\n{requests} requests loaded {sum(self._row_counts().values()):,} rows. The simulator"
            " failed twice on purpose: a request for events got HTTP 503, and the export of rsvp"
            " failed. The tap repeated the request, and it split the export and submitted both"
            " halves."
        )

    def _load_next_day_and_build_models(self, next_day: NextDay) -> None:
        show = self._display
        new, changed, late = (
            sum(map(len, rows.values())) for rows in (next_day.new, next_day.changed, next_day.late)
        )
        show.heading("3. A day later, the second run loads what has changed, and dbt builds models")
        show.say(
            f"{new} rows are new and {changed} have changed. {late} check-ins arrive late: they are"
            " older than the first run, but a scanner was offline."
        )
        next_day.apply(self._dataset)
        since = datetime.now(UTC)
        requests = self._load(campus.SECOND_RUN, *pipeline.MODEL[1:])
        expected = self._row_counts()
        with self._database.connect() as connection:
            found = warehouse.count_rows(connection, self._dataset.streams, since=since)
        loaded = sum(counts.since for counts in found.values())
        show.say(
            f"\n{requests} requests loaded {loaded:,} rows: the new ones, and once more those of"
            " the 48 hours before each bookmark. This overlap, the lookback, finds the late rows.\n"
        )
        show.tables(expected, found)
        wrong = [stream for stream, rows in expected.items() if not found[stream].matches(rows)]
        if wrong:
            show.fail(f"These tables differ from the service: {', '.join(wrong)}.")
            raise DemoError
        show.say(f"All {len(expected)} tables hold every row of the service exactly once.")

    def _show_models(self) -> None:
        show = self._display
        show.heading("4. What the models say about attendance and budgets")
        with self._database.connect() as connection:
            weeks = warehouse.attendance(connection, before=campus.FIRST_RUN.date(), weeks=_WEEKS)
            budgets = warehouse.largest_budgets(connection, limit=_BUDGETS)
            busiest = connection.execute(warehouse.BUSIEST_EVENTS)
            columns = [column.name for column in busiest.description or ()]
            rows = busiest.fetchall()
        show.say("Who said yes and who attended, from the model attendance_by_week:\n")
        show.attendance(weeks, {week.monday: campus.holiday(week.monday) for week in weeks})
        show.say("The budgets with the highest spending, from the model spending_by_budget:\n")
        show.budgets(budgets)
        title = "The events with the most attendees, from the model attendance_by_event:"
        show.query(title, warehouse.BUSIEST_EVENTS.decode(), columns, rows)

    def _load(self, end: datetime, *more: str) -> int:
        """Run the pipeline up to a simulated time, and return the number of requests."""
        self._simulator.reset_log()
        self._workspace.environment |= {
            "TAP_CAMPUSGROUPS_START_DATE": _START_DATE,
            "TAP_CAMPUSGROUPS_END_DATE": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        }
        self._run_meltano([*pipeline.LOAD, *more])
        return len(self._simulator.requests)

    def _run_meltano(self, command: Sequence[str]) -> None:
        self._display.command(f"meltano {' '.join(command)}")
        with self._display.progress() as on_line:
            finished = self._workspace.meltano(*command, on_line=on_line)
        if finished.code != 0:
            message = f"meltano failed with exit code {finished.code}."
            self._display.fail(message, finished.output)
            raise DemoError


def main(scale: float = 1.0, *, svg: bool = False) -> int:
    """Run the demo and return the exit code.

    Args:
        scale: Factor on the size of the university.
        svg: Whether to write pictures of the output to docs/images instead of the output.
    """
    # As on Ctrl-C, PostgreSQL is stopped and the folders are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    display = Display(is_picture=svg)
    errors = Display() if svg else display
    if missing := pipeline.missing_plugins(_PLUGINS):
        errors.fail(f"Not installed: {', '.join(missing)}. Run `make demo`.")
        return 1
    dataset, next_day = campus.create_campus(scale)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="tap-campusgroups-demo-") as home,
            postgres() as database,
            Simulator(
                dataset, school_code="riverton", running_seconds=dict.fromkeys(("rsvp", "users"), 1)
            ) as simulator,
        ):
            Demo(display, simulator, database, Path(home)).run(next_day)
    except DemoError:
        return 1
    except (TimeoutError, pipeline.ForeignDatabaseError) as error:
        errors.fail(str(error))
        return 1
    except KeyboardInterrupt:
        errors.fail("Stopped.")
        return 128 + signal.SIGINT
    if svg:
        for theme in ("light", "dark"):
            path = _IMAGES / f"demo-{theme}.svg"
            path.write_text(display.export_svg(is_dark=theme == "dark"), encoding="utf-8")
            errors.say(f"{path.relative_to(pipeline.PROJECT)} written")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.demo")
    parser.add_argument("--svg", action="store_true", help="write pictures to docs/images instead")
    sys.exit(main(svg=parser.parse_args().svg))
