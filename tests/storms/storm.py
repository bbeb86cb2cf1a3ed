"""A storm: moves from a table, drawn by a seed, and the world that they change."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from tests.simulator import Dataset
from tests.simulator.queries import Timing
from tests.simulator.service import DEFAULT_SCHOOL, Service
from tests.simulator.timestamps import UNUSUAL_FORMATS, format_timestamp, to_milliseconds
from tests.storms.invariants import SENTINEL, Ledger, Plan, Rows, Version, check
from tests.storms.run import Machine, run_tap
from tests.support.harness import canonical, only, read_in_full, stream_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STREAMS = ("checkins", "rooms", "tags")
BEGIN = datetime(2025, 6, 1, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SECRET = f"{SENTINEL}-secret"
_CATALOG = only(*STREAMS)


class World:
    """The service, the machine of the tap, and the target.

    Attributes:
        rows: The times at which the rows of the lake changed, by stream and id.
        settings, defaults: Settings of the next run, and of a run without other moves.
        selected, full: Streams that are selected, and those of them with full reads.
    """

    def __init__(self) -> None:
        self.machine = Machine(BEGIN)
        self.timing = Timing()
        self.dataset = Dataset(0, newest=BEGIN)
        clock = self.machine.service_seconds
        self.service = Service(self.dataset, SECRET, DEFAULT_SCHOOL, clock, self.timing)
        self.rows: dict[str, dict[int, datetime]] = {name: {} for name in STREAMS}
        self.ledger = Ledger()
        self.selected, self.full = set(STREAMS), set[str]()
        self.defaults: dict[str, Any] = {"page_size": 3, "max_concurrent_exports": 1}
        self.defaults["export_timeout_minutes"] = 10

    def calm(self) -> None:
        """End everything that befalls one run."""
        self.settings = dict(self.defaults)
        self.service.faults.clear()
        self.timing.__init__()  # type: ignore[misc] # the defaults
        self.machine.offset, self.machine.sends_date = timedelta(), True
        self.machine.at_request.clear()

    def put(self, stream: str, number: int, at: datetime, random: Random) -> None:
        """Insert or update a row."""
        self.delete(stream, number)
        self.rows[stream][number] = at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        text = random.choice([format_timestamp, *UNUSUAL_FORMATS[1:]])(to_milliseconds(at))
        value = f"{SENTINEL} {number}"
        row = {"id": number, "updatedOn": text, "name": value, "other": value}
        self.dataset[stream].append(row)

    def delete(self, stream: str, number: int) -> None:
        """Delete a row, if it exists."""
        self.rows[stream].pop(number, None)
        self.dataset[stream][:] = [row for row in self.dataset[stream] if row["id"] != number]

    def versions(self) -> Rows:
        """Return the rows of the lake."""
        return {
            name: {Version(number, canonical(at)) for number, at in rows.items()}
            for name, rows in self.rows.items()
        }

    def run(self) -> int:
        """Run the tap, check everything, and return the exit code."""
        machine, settings = self.machine, self.settings
        if not machine.sends_date:  # nothing tells the tap that its clock is ahead
            machine.offset = min(machine.offset, timedelta())
        maps = settings.get("stream_maps", {})
        dropped = set(STREAMS) - set(maps) if "__else__" in maps else set()
        dropped |= {name for name in maps if maps[name] is None}
        catalog = read_in_full(deepcopy(_CATALOG), *self.full)
        for entry in catalog["streams"]:
            stream_metadata(entry)["selected"] = entry["tap_stream_id"] in self.selected
        access = {"api_secret": SECRET, "school_code": DEFAULT_SCHOOL}
        config = {**access, "api_url": "http://127.0.0.1/data/v1", **settings}
        before, began = self.versions(), machine.now + machine.offset
        inputs = {"config": config, "catalog": catalog, "state": self.ledger.state}
        ended = run_tap(self.service, machine, STREAMS, **inputs)
        start, end = settings.get("start_date"), settings.get("end_date")
        end = min(began, datetime.fromisoformat(end)) if end else began
        plan = Plan(
            before=before,
            after=self.versions(),
            streams=self.selected - dropped,
            full=self.full,
            start=canonical(datetime.fromisoformat(start)) if start else "",
            end=canonical(end.replace(microsecond=0)),
            windows=len(STREAMS) * (10_000 // (settings.get("export_window_days") or 10_000) + 2),
            service_time=canonical(machine.now),
        )
        self.calm()
        machine.pass_time(5)
        check(ended, plan, self.ledger)
        return ended.code


Act: TypeAlias = "Callable[[World, Random], object]"


class Move(NamedTuple):
    """A move: its name, and how often it comes relative to others."""

    name: str
    weight: int
    act: Act


@dataclass(frozen=True)
class Storm:
    """A random series of moves between a begin and an end, which checks what must hold then."""

    name: str
    begin: Act
    moves: Sequence[Move]
    end: Act

    def play(self, seed: int) -> str | None:
        """Play a seed; return its violation with the fewest moves that show it."""
        random = self._random(seed, "moves")
        count = random.randint(4, 24)
        drawn = list(
            enumerate(random.choices(self.moves, [move.weight for move in self.moves], k=count))
        )
        if (violation := self._violation(seed, drawn)) is None:
            return None
        for step in list(drawn):
            fewer = [one for one in drawn if one is not step]
            if (found := self._violation(seed, fewer)) is not None:
                drawn, violation = fewer, found
        return f"{violation}\n  moves: {', '.join(move.name for _, move in drawn)}"

    def _violation(self, seed: int, drawn: Sequence[tuple[int, Move]]) -> AssertionError | None:
        world = World()
        try:
            self.begin(world, self._random(seed, "begin"))
            world.calm()
            for number, move in drawn:
                move.act(world, self._random(seed, number))
            self.end(world, self._random(seed, "end"))
        except AssertionError as violation:
            return violation
        return None

    def _random(self, seed: int, part: object) -> Random:
        # One for each move: leaving out a move does not change the others.
        return Random(f"{self.name}:{seed}:{part}")  # noqa: S311 - not for secrets
