"""A changing source, and a target that upserts by id and removes rows on ACTIVATE_VERSION."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from tests.simulator import CancelQuery, ConnectionReset, FailQuery, Status
from tests.storms import faulty_service
from tests.storms.invariants import target_equals_source
from tests.storms.storm import BEGIN, DAY, HOUR, STREAMS, Move, Storm, World

if TYPE_CHECKING:
    from random import Random

    from tests.simulator import FaultType

LAG = 30 * HOUR
"""How late a row may reach the lake; every lookback here is longer."""


def begin(world: World, random: Random) -> None:
    """Give each stream some rows of the last weeks."""
    world.defaults["start_date"] = (BEGIN - 60 * DAY).isoformat()
    for _ in range(random.randint(0, 25)):
        insert(world, random, age=random.random() * 40 * DAY)


def insert(world: World, random: Random, *, age: timedelta = timedelta()) -> None:
    """Insert a row."""
    stream = random.choice(STREAMS)
    world.inserted += 1
    world.put(stream, world.inserted, world.clock.now() - age, random)


def insert_late(world: World, random: Random) -> None:
    """Insert a row that reaches the lake late."""
    insert(world, random, age=random.random() * LAG)


def update(world: World, random: Random, *, age: timedelta = timedelta()) -> None:
    """Update a row, if there is one."""
    stream = random.choice(STREAMS)
    if rows := world.rows[stream]:
        number = random.choice(sorted(rows))
        at = max(rows[number] + timedelta(milliseconds=1), world.clock.now() - age)
        world.put(stream, number, at, random)


def update_late(world: World, random: Random) -> None:
    """Update a row; the lake shows the earlier version for some hours."""
    update(world, random, age=random.random() * LAG)


def delete(world: World, random: Random) -> None:
    """Delete a row, if there is one."""
    stream = random.choice(STREAMS)
    if rows := world.rows[stream]:
        world.delete(stream, random.choice(sorted(rows)))


def delete_most(world: World, random: Random) -> None:
    """Delete most rows of a stream, so that a full read is hardly plausible."""
    stream = random.choice(STREAMS)
    for number in list(world.rows[stream])[1:]:
        world.delete(stream, number)


CHANGES = (insert, insert_late, update, update, update_late, delete)


def change(world: World, random: Random) -> None:
    """Some changes between two runs."""
    for _ in range(random.randint(1, 6)):
        random.choice(CHANGES)(world, random)


def change_during_run(world: World, random: Random) -> None:
    """Changes while the next run exports, some of them after a while."""
    for at in random.sample(range(1, 40), random.randint(1, 6)):
        world.weather.at_request[at] = partial(
            _change_after, world, random, random.choice([0, 900])
        )


def _change_after(world: World, random: Random, seconds: float) -> None:
    world.clock.pass_by(seconds)
    change(world, random)


def fail(world: World, random: Random) -> None:
    """A fault that earns a new export, or that ends the stream."""
    faults: list[FaultType] = [
        FailQuery(),
        CancelQuery(),
        Status(404),
        Status(503),
        ConnectionReset(),
    ]
    phase = random.choice(faulty_service.PHASES[1:])
    world.inject(random.choice(faults), random, phase=phase)


def choose_windows(world: World, random: Random) -> None:
    """Windows of some days, possibly side by side."""
    world.settings["export_window_days"] = random.randint(3, 20)
    world.settings["max_concurrent_exports"] = random.choice([1, 1, 4])


def choose_settings(world: World, random: Random) -> None:
    """Another lookback and another size of pages."""
    world.settings["lookback_hours"] = random.choice([36, 48, 72])
    world.settings["page_size"] = random.choice([1, 2, 999])


def end(world: World, random: Random) -> None:
    """When all rows have reached the lake, one quiet run loads the last version of each."""
    world.clock.pass_by(3 * DAY.total_seconds())
    faulty_service.end(world, random)
    target_equals_source(world.versions(), world.ledger)


MOVES = (
    Move(faulty_service.run, 40),
    Move(change, 30),
    Move(change_during_run, 25),
    Move(delete_most, 3),
    Move(fail, 12),
    Move(faulty_service.be_slow, 3),
    Move(faulty_service.signal_at_request, 8),
    Move(faulty_service.signal_at_write, 5),
    Move(faulty_service.let_time_pass, 10),
    Move(faulty_service.lose_state, 2),
    Move(faulty_service.read_in_full, 15),
    Move(faulty_service.select_streams, 3),
    Move(faulty_service.write_row_by_row, 3),
    Move(choose_windows, 10),
    Move(choose_settings, 5),
)

CHANGING_SOURCE = Storm("changing-source", begin, MOVES, end)
