"""What the demo shows, on a terminal or in a file."""

from __future__ import annotations

import re
import sys
from collections import deque
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.bar import Bar
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from examples.demo.warehouse import Counts, Week

_LINE_OF_TAP: Final = re.compile(r"\] tap-campusgroups +Stream '(?P<stream>\w+)': (?P<text>.*)")
_LINE_OF_DBT: Final = re.compile(r"\] dbt-postgres +\S+ +(?P<text>(?:Found|Done\.) .*)")
SHOWN_EXPORTS: Final = frozenset({"checkins", "events", "rsvp", "users"})
"""Streams whose exports are shown; those that wait are shown anyway."""

_TAIL: Final = 25
_BAR_WIDTH: Final = 27


class Display:
    """Writes to stdout."""

    def __init__(self) -> None:
        """Find out what stdout is."""
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # the rows are in Unicode
        self._console = Console(highlight=False)

    def say(self, text: str) -> None:
        """Write a line of the story."""
        self._console.print(text, markup=False, style="bold")

    def fail(self, text: str, log: str = "") -> None:
        """Say what went wrong, with the end of a log."""
        for line in deque(log.splitlines(), _TAIL):
            self._console.print(line, markup=False, style="dim", soft_wrap=True)
        self._console.print(text, markup=False, style="bold red")

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """Show a run: of its log, the lines worth seeing, as far as they speak of one stream.

        Yields:
            What takes the lines of Meltano's log.
        """
        with self._console.status("Meltano starts") as status:

            def show(line: str) -> None:
                if (found := _LINE_OF_DBT.search(line)) is not None:
                    self._console.print(f"  {found['text']}", markup=False, style="dim")
                if (found := _LINE_OF_TAP.search(line)) is None:
                    return
                stream, text = found["stream"], found["text"].partition(";")[0]
                if text.startswith("exporting") or " rows in " in text:
                    status.update(f"{stream} ...")
                    if stream not in SHOWN_EXPORTS:
                        return
                self._console.print(f"  {stream:8}  {text}", markup=False, style="dim")

            yield show

    def tables(self, expected: Mapping[str, int], found: Mapping[str, Counts]) -> None:
        """Show what is in the service and in PostgreSQL."""
        table = _table()
        table.add_column("rows of stream", no_wrap=True)
        for title in ("service", "PostgreSQL", "2nd run", "newest updatedOn"):
            table.add_column(title, justify="right", no_wrap=True)
        for stream, rows in expected.items():
            counts = found[stream]
            newest = "" if counts.newest is None else f"{counts.newest:%Y-%m-%d %H:%M}"
            table.add_row(
                stream,
                f"{rows:,}",
                f"{counts.rows:,}",
                f"{counts.since:,}",
                newest,
                style="" if counts.are_each_once(rows) else "bold red",
            )
        self._console.print(table)

    def query(self, query: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
        """Show a query and what it found."""
        self._console.print(Syntax(query.rstrip(), "sql", background_color="default"))
        table = _table()
        for column in columns:
            is_number = column in {"going", "attendees", "show_up_rate"}
            table.add_column(column, justify="right" if is_number else "left")
        for row in rows:
            table.add_row(*("-" if value in {None, ""} else str(value) for value in row))
        self._console.print(table)

    def attendance(self, weeks: Sequence[Week]) -> None:
        """Draw who meant to come and who came, a bar each week."""
        most = max((max(week.going, week.attendees) for week in weeks), default=0)
        table = _table()
        table.add_column("week of", no_wrap=True)
        for title in ("RSVPs: going", "attendees"):
            table.add_column("", justify="right", no_wrap=True)
            table.add_column(title, width=_BAR_WIDTH)
        for week in weeks:
            table.add_row(
                f"{week.monday}",
                *(f"{week.going:,}", Bar(most, 0, week.going, color="blue")),
                *(f"{week.attendees:,}", Bar(most, 0, week.attendees, color="green")),
            )
        self._console.print(table)


def _table() -> Table:
    """Make a table that is narrow: the widest is for 80 columns."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
