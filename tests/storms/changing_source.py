"""A changing source, and a target that upserts by id and removes rows on ACTIVATE_VERSION."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from tests.simulator import CancelQuery, ConnectionReset, FailQuery, Status
from tests.storms import faulty_service
from tests.storms.faulty_service import hit
from tests.storms.invariants import target_has
from tests.storms.storm import BEGIN, DAY, HOUR, STREAMS, Move, Storm, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

LAG = 30 * HOUR
"""How late a row may reach the lake; every lookback here is longer."""


def begin(world: World, random: Random) -> None:
    """Give each stream some rows of the last weeks."""
    world.defaults["start_date"] = (BEGIN - 60 * DAY).isoformat()
    for _ in range(random.randint(0, 25)):
        insert(world, random, age=40 * DAY)


def insert(world: World, random: Random, *, age: timedelta = timedelta()) -> None:
    """Insert a row that reaches the lake at once, or late."""
    number = random.randrange(100, 10**9)
    world.put(random.choice(STREAMS), number, world.machine.now - random.random() * age, random)


def update(world: World, random: Random, *, age: timedelta = timedelta()) -> None:
    """Update a row, if there is one; the lake shows it at once, or late."""
    stream = random.choice(STREAMS)
    if rows := world.rows[stream]:
        number = random.choice(sorted(rows))
        at = max(
            rows[number] + timedelta(milliseconds=1), world.machine.now - random.random() * age
        )
        world.put(stream, number, at, random)


def delete(world: World, random: Random, *, least: int = 1, most: int = 1) -> None:
    """Delete some rows of a stream."""
    stream = random.choice(STREAMS)
    for number in sorted(world.rows[stream])[: random.randint(least, most)]:
        world.delete(stream, number)


def change(world: World, random: Random) -> None:
    """Some changes."""
    changes = (insert, partial(insert, age=LAG), update, update, partial(update, age=LAG), delete)
    for _ in range(random.randint(1, 6)):
        random.choice(changes)(world, random)


def change_during_run(world: World, random: Random) -> None:
    """Changes while the next run exports, some of them after a while."""
    for at in random.sample(range(1, 40), random.randint(1, 6)):
        pause = partial(world.machine.pass_time, random.choice([0, 900]))
        world.machine.at_request[at] = partial(_change_after, pause, world, random)


def sleep_during_run(world: World, random: Random) -> None:
    """Changes while the machine sleeps for days, in the middle of the next run."""
    pause = partial(world.machine.stop, random.uniform(1, 5) * DAY.total_seconds(), is_asleep=True)
    world.machine.at_request[random.randint(1, 25)] = partial(_change_after, pause, world, random)


def sleep_during_full_read(world: World, random: Random) -> None:
    """Rows change while the machine sleeps for days, in the middle of the second full read."""
    world.full = {random.choice(STREAMS)}
    world.selected |= world.full
    world.run()
    world.settings["export_window_days"] = random.randint(3, 20)
    for _ in range(4):
        sleep_during_run(world, random)
    world.run()


def _change_after(pause: Callable[[], object], world: World, random: Random) -> None:
    pause()
    change(world, random)


def choose_settings(world: World, random: Random) -> None:
    """Windows of some days, possibly side by side, another lookback, another size of pages."""
    world.settings["export_window_days"] = random.randint(3, 20)
    world.settings["max_concurrent_exports"] = random.choice([1, 1, 4])
    world.settings["lookback_hours"] = random.choice([36, 48, 72])
    world.settings["page_size"] = random.choice([1, 2, 999])


def end(world: World, random: Random) -> None:
    """When all rows have reached the lake, one quiet run loads the last version of each."""
    world.machine.pass_time(3 * DAY.total_seconds())
    faulty_service.end(world, random)
    for stream, rows in world.versions().items():
        target_has(rows, stream, world.ledger)


MOVES = (
    *(move for move in faulty_service.MOVES if move.name in {"run", "signal", "time"}),
    *(move for move in faulty_service.MOVES if move.name in {"slow exports", "lost state"}),
    Move("changes", 30, change),
    Move("changes during a run", 25, change_during_run),
    Move("sleep of days", 4, sleep_during_run),
    Move("sleep of days in a full read", 4, sleep_during_full_read),
    Move("many deletions", 3, partial(delete, least=2, most=9)),
    Move(
        "failure", 12, hit(FailQuery(), CancelQuery(), Status(404), Status(503), ConnectionReset())
    ),
    Move("full reads", 15, faulty_service.read_in_full),
    Move("selection", 3, faulty_service.select_streams),
    Move("settings", 12, choose_settings),
)
CHANGING_SOURCE = Storm("changing-source", begin, MOVES, end)
