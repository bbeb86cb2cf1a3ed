"""Output of the demo, on a terminal, in a file or as a picture."""

from __future__ import annotations

import io
import re
import sys
from collections import deque
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.bar import Bar
from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.terminal_theme import TerminalTheme
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from examples.demo.warehouse import Budget, TableCounts, Week

_TAP_LINE: Final = re.compile(
    r"\[(?P<level>\w+) *\] tap-campusgroups +(?P<text>(?:Export |Retrying |Stream |Summary).*)"
)
_DBT_LINE: Final = re.compile(r"\] dbt-postgres +\S+ +(?P<text>(?:Found|Done\.) .*)")
_STREAM: Final = re.compile(r"stream=(\w+)")
_VARYING: Final = re.compile(r" (?:query_id|elapsed|next_poll|delay)=\S+|, [\d.]+ s$")
"""Values that differ from run to run, not shown in a picture."""

_LOG_TAIL: Final = 25
_BAR_WIDTH: Final = 20
_BUDGET_BAR_WIDTH: Final = 10
_PICTURE_WIDTH: Final = 100
_PICTURED_TABLES: Final = frozenset(
    {"checkins", "events", "groups", "members", "payments", "rsvp", "users"}
)


class Display:
    """Writes to stdout, or records for a picture."""

    def __init__(self, *, is_picture: bool = False) -> None:
        """Set up the console."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # not every terminal can show the bars
        self._is_picture = is_picture
        file = io.StringIO() if is_picture else None
        width = _PICTURE_WIDTH if is_picture else None
        self._console = Console(
            highlight=False, record=is_picture, file=file, width=width, force_terminal=is_picture
        )

    def heading(self, text: str) -> None:
        """Write a heading."""
        self._console.print(f"\n{text}", markup=False, style="bold cyan")

    def say(self, text: str) -> None:
        """Write a paragraph."""
        self._console.print(text, markup=False)

    def command(self, text: str) -> None:
        """Write a command line."""
        self._console.print(f"\n$ {text}", markup=False, style="bold")

    def fail(self, text: str, log: str = "") -> None:
        """Write an error after the end of a log."""
        for line in deque(log.splitlines(), _LOG_TAIL):
            self._console.print(line, markup=False, style="dim", soft_wrap=True)
        self._console.print(text, markup=False, style="bold red")

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """Show the relevant lines of a run's log.

        Yields:
            A function that takes the lines of Meltano's log.
        """
        # A picture would record every frame of the spinner.
        starting = self._console.status("Meltano starts ...")
        with nullcontext() if self._is_picture else starting as status:

            def show(line: str) -> None:
                text, is_warning = relevant_part(line)
                if self._is_picture:
                    text = _VARYING.sub("", text)
                if status is not None and (stream := _STREAM.search(line)):
                    status.update(f"{stream[1]} ...")
                if is_warning:
                    self._console.print(
                        Padding(Text(text), (0, 0, 0, 2), expand=False), style="yellow"
                    )
                elif text:
                    self._console.print(
                        f"  {text}",
                        markup=False,
                        style="dim",
                        no_wrap=True,
                        overflow="ellipsis",
                        soft_wrap=not self._console.is_terminal,
                    )

            yield show

    def tables(self, expected: Mapping[str, int], found: Mapping[str, TableCounts]) -> None:
        """Compare the rows of the service with those in PostgreSQL."""
        table = _create_table()
        table.add_column("stream", no_wrap=True)
        for title in ("service", "PostgreSQL", "second run", "newest updatedOn"):
            table.add_column(title, justify="right", no_wrap=True)
        for stream, rows in expected.items():
            if self._is_picture and stream not in _PICTURED_TABLES:
                continue
            counts = found[stream]
            newest = "" if counts.newest is None else f"{counts.newest:%Y-%m-%d %H:%M}"
            table.add_row(
                stream,
                f"{rows:,}",
                f"{counts.rows:,}",
                f"{counts.since:,}",
                newest,
                style="" if counts.matches(rows) else "bold red",
            )
        if self._is_picture:
            table.add_row(f"... {len(expected) - len(_PICTURED_TABLES)} more", style="dim")
        self._console.print(table)

    def query(
        self, title: str, query: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]
    ) -> None:
        """Show a query and its result; a picture has no room for it."""
        if self._is_picture:
            return
        self.say(f"{title}\n")
        self._console.print(
            Syntax(query.rstrip(), "sql", background_color="default", theme="ansi_light")
        )
        table = _create_table()
        for column in columns:
            is_number = column in {"going", "attendees", "show_up_rate"}
            table.add_column(column, justify="right" if is_number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(str(value) for value in row))
        self._console.print(table)

    def attendance(self, weeks: Sequence[Week], holidays: Mapping[Any, str]) -> None:
        """Draw RSVPs and attendees as bars, one row per week."""
        most = max((max(week.going, week.attendees) for week in weeks), default=0)
        table = _create_table()
        table.add_column("week of", no_wrap=True, min_width=10)
        for title in ("said yes", "attended"):
            table.add_column("", justify="right", no_wrap=True, min_width=3)
            table.add_column(title, width=_BAR_WIDTH)
        table.add_column("show-up", justify="right", no_wrap=True, min_width=7)
        for week in weeks:
            if not week.going:
                table.add_row(f"{week.monday}", "", holidays.get(week.monday, ""), style="dim")
                continue
            table.add_row(
                f"{week.monday}",
                *(f"{week.going:,}", Bar(most, 0, week.going, color="blue")),
                *(f"{week.attendees:,}", Bar(most, 0, week.attendees, color="green")),
                "" if week.rate is None else f"{week.rate:.0%}",
            )
        self._console.print(table)

    def budgets(self, budgets: Iterable[Budget]) -> None:
        """Draw the used part of each budget as a bar."""
        table = _create_table()
        table.add_column("budget", no_wrap=True)
        for title in ("planned", "spent"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("used", width=_BUDGET_BAR_WIDTH)
        for title in ("remaining", "per attendee"):
            table.add_column(title, justify="right", no_wrap=True)
        for budget in budgets:
            color = "red" if budget.remaining < 0 else "green"
            table.add_row(
                budget.name,
                f"{budget.planned:,.2f}",
                f"{budget.spent:,.2f}",
                Bar(float(budget.planned), 0, float(budget.spent), color=color),
                f"{budget.remaining:,.2f}",
                "" if budget.per_attendee is None else f"{budget.per_attendee:.2f}",
            )
        self._console.print(table)

    def next_steps(self, steps: Mapping[str, str]) -> None:
        """List what to look at next; a picture has no room for it."""
        if self._is_picture:
            return
        self.heading("5. What to look at next")
        for path, text in steps.items():
            self.say(f"{path:18} {text}")

    def export_svg(self, *, is_dark: bool) -> str:
        """Return the recorded output as a picture without references to the network."""
        theme = _DARK if is_dark else _LIGHT
        svg = self._console.export_svg(
            title="make demo", theme=theme, clear=False, unique_id="demo"
        )
        # The exporter embeds a web font; the reader's own monospace font is used instead.
        svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
        fonts = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
        svg = svg.replace("Fira Code, monospace", fonts).replace("arial", "sans-serif")
        return (
            svg.replace("<!-- Generated with Rich https://www.textualize.io -->", "").strip() + "\n"
        )


def relevant_part(line: str) -> tuple[str, bool]:
    """Return the part of a log line to show, or "", and whether it is a warning."""
    if found := _DBT_LINE.search(line):
        return found["text"], False
    found = _TAP_LINE.search(line)
    if found is None:
        return "", False
    return found["text"], found["level"] in {"warning", "error"}


def _create_table() -> Table:
    """Return a narrow table that fits into 80 columns."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


_LIGHT: Final = TerminalTheme(
    (255, 255, 255),
    (31, 35, 40),
    [
        (31, 35, 40), (207, 34, 46), (45, 164, 78), (154, 103, 0),
        (9, 105, 218), (130, 80, 223), (27, 124, 131), (89, 99, 110),
    ],
    [
        (89, 99, 110), (164, 14, 38), (26, 127, 55), (125, 78, 0),
        (33, 139, 255), (164, 117, 249), (49, 146, 170), (140, 149, 159),
    ],
)  # fmt: skip
_DARK: Final = TerminalTheme(
    (13, 17, 23),
    (240, 246, 252),
    [
        (72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34),
        (88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196),
    ],
    [
        (110, 118, 129), (255, 161, 152), (86, 211, 100), (227, 179, 65),
        (121, 192, 255), (210, 168, 255), (86, 212, 221), (255, 255, 255),
    ],
)  # fmt: skip
