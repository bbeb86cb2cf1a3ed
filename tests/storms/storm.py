"""A storm: moves from a table, each with its own random numbers, and what is known of the world."""

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
from tests.storms.invariants import SENTINEL, Ledger, Plan, Version, check
from tests.storms.run import Clock, Weather, run_tap
from tests.support.harness import canonical, only, read_in_full, stream_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulator import FaultType

STREAMS = ("checkins", "rooms", "tags")
BEGIN = datetime(2025, 6, 1, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SECRET = f"{SENTINEL}-secret"
FORMS = (format_timestamp, *UNUSUAL_FORMATS[1:])
"""Formats in which the service may write a timestamp with milliseconds."""

_CATALOG = only(*STREAMS)


class World:
    """The service, its rows, the machine of the tap and the target.

    Attributes:
        rows: Rows of the service's lake, by stream and id.
        settings: Settings of the next run.
        weather: What befalls the next run.
        selected, full: Streams that are selected, and those of them with full reads.
        defaults: Settings of a run without other moves.
        inserted: Number of rows so far.
    """

    def __init__(self) -> None:
        self.clock = Clock(BEGIN)
        self.dataset = Dataset(0, newest=BEGIN)
        self.timing = Timing()
        self.service = Service(
            self.dataset, SECRET, DEFAULT_SCHOOL, self.clock.seconds, self.timing
        )
        self.rows: dict[str, dict[int, datetime]] = {name: {} for name in STREAMS}
        self.ledger = Ledger()
        self.selected, self.full = set(STREAMS), set[str]()
        self.defaults: dict[str, Any] = {"page_size": 3, "max_concurrent_exports": 1}
        self.defaults["export_timeout_minutes"] = 10
        self.inserted = 0
        self.calm()

    def calm(self) -> None:
        """End everything that befalls one run."""
        self.settings = dict(self.defaults)
        self.weather = Weather()
        self.service.faults.clear()
        self.timing.running_seconds = self.timing.queued_polls = self.timing.running_polls = 0
        self.timing.max_active = None
        self.clock.offset = timedelta()

    def inject(self, fault: FaultType, random: Random, **more: Any) -> None:
        """Let a fault hit some requests of the next run."""
        self.service.faults.add(
            fault.on(
                random.choice([None, *STREAMS]),
                **{
                    "times": random.choice([1, 1, 2, 3, 9, None]),
                    "after": random.choice([0, 0, 1, 2, 5]),
                }
                | more,
            )
        )

    def put(self, stream: str, number: int, at: datetime, random: Random) -> None:
        """Insert or update a row."""
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        rows = self.dataset[stream]
        rows[:] = [row for row in rows if row["id"] != number]
        text = random.choice(FORMS)(to_milliseconds(at))
        name = f"{SENTINEL} {number}"
        rows.append({"id": number, "updatedOn": text, "name": name, "other": name})
        self.rows[stream][number] = at

    def delete(self, stream: str, number: int) -> None:
        """Delete a row."""
        rows = self.dataset[stream]
        rows[:] = [row for row in rows if row["id"] != number]
        del self.rows[stream][number]

    def versions(self) -> dict[str, set[Version]]:
        """Return the rows of the lake."""
        return {
            name: {Version(number, canonical(at)) for number, at in rows.items()}
            for name, rows in self.rows.items()
        }

    def run(self) -> int:
        """Run the tap, check everything, and return the exit code."""
        ledger, settings = self.ledger, self.settings
        maps = settings.get("stream_maps", {})
        dropped = {name for name in STREAMS if name in maps and maps[name] is None}
        if "__else__" in maps:
            dropped |= set(STREAMS) - set(maps)
        if not self.weather.sends_date:  # nothing tells the tap that its clock is ahead
            self.clock.offset = min(self.clock.offset, timedelta())
        before, began = self.versions(), datetime.fromtimestamp(self.clock.local(), UTC)
        catalog = read_in_full(deepcopy(_CATALOG), *self.full)
        for entry in catalog["streams"]:
            stream_metadata(entry)["selected"] = entry["tap_stream_id"] in self.selected
        config = {
            "api_secret": SECRET,
            "school_code": DEFAULT_SCHOOL,
            "api_url": "http://127.0.0.1/data/v1",
            **settings,
        }
        ended = run_tap(
            *(self.service, self.clock, self.weather, STREAMS),
            config=config,
            catalog=catalog,
            state=ledger.state,
        )
        end = min(began, datetime.fromisoformat(settings.get("end_date", "9999-01-01T00:00:00Z")))
        length = settings.get("export_window_days") or 100_000
        plan = Plan(
            before=before,
            after=self.versions(),
            streams=self.selected - dropped,
            full=self.full,
            start=canonical(datetime.fromisoformat(start))
            if (start := settings.get("start_date"))
            else "",
            end=canonical(end.replace(microsecond=0)),
            windows=len(STREAMS) * (10_000 // length + 2),
            service_time=self.clock.now(),
        )
        self.calm()
        self.clock.pass_by(5)
        check(ended, plan, ledger)
        return ended.code


Act: TypeAlias = "Callable[[World, Random], object]"


class Move(NamedTuple):
    """A move of a storm.

    Attributes:
        weight: How often the move comes, relative to others.
        is_on: Whether it is used; moves whose fault is not mended yet are off.
    """

    act: Act
    weight: int = 1
    is_on: bool = True

    @property
    def name(self) -> str:
        """The name of its function."""
        return self.act.__name__


@dataclass(frozen=True)
class Storm:
    """A random series of moves.

    Attributes:
        begin: Fills the service with rows.
        moves: The table of moves.
        end: Checks what must hold after the storm.
    """

    name: str
    begin: Act
    moves: Sequence[Move]
    end: Act

    def draw(self, seed: int) -> list[tuple[int, Move]]:
        """Return the moves of a seed, each with its number."""
        random = self._random(seed, "moves")
        table = [move for move in self.moves if move.is_on]
        drawn = random.choices(table, [move.weight for move in table], k=random.randint(4, 24))
        return list(enumerate(drawn))

    def play(self, seed: int, drawn: Sequence[tuple[int, Move]] | None = None) -> None:
        """Play the moves of a seed, or only some of them; raise AssertionError on a violation."""
        world = World()
        self.begin(world, self._random(seed, "begin"))
        world.calm()
        for number, move in self.draw(seed) if drawn is None else drawn:
            move.act(world, self._random(seed, number))
        self.end(world, self._random(seed, "end"))

    def reduce(self, seed: int, violation: AssertionError) -> tuple[list[str], AssertionError]:
        """Return the fewest moves of a seed that still violate an invariant, and the violation."""
        drawn = self.draw(seed)
        for step in list(drawn):
            fewer = [one for one in drawn if one is not step]
            if (found := self._violation(seed, fewer)) is not None:
                drawn, violation = fewer, found
        return [move.name for _, move in drawn], violation

    def _random(self, seed: int, part: object) -> Random:
        # One for each move, so that leaving out a move does not change the others.
        return Random(f"{self.name}:{seed}:{part}")  # noqa: S311 - not for secrets

    def _violation(self, seed: int, drawn: Sequence[tuple[int, Move]]) -> AssertionError | None:
        try:
            self.play(seed, drawn)
        except AssertionError as violation:
            return violation
        return None
