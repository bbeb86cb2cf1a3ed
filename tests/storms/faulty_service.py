"""A faulty service over several runs, with the state carried on."""

from __future__ import annotations

import re
import signal
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_campusgroups.shutdown import SHUTDOWN
from tests.simulator import (
    CancelQuery,
    ConnectionReset,
    EmptyPage,
    EndlessPages,
    FailQuery,
    FaultType,
    Hang,
    HtmlPage,
    JsonBody,
    RandomBytes,
    RawBody,
    Redirect,
    RepeatQueryId,
    RepeatToken,
    Status,
    TruncatedBody,
)
from tests.simulator.request_context import PAGES, PHASES
from tests.simulator.responses import CompleteResponse
from tests.storms.invariants import ODD_ID, SENTINEL
from tests.storms.storm import BEGIN, DAY, HOUR, STREAMS, Move, Storm, World
from tests.support.harness import ROW_BY_ROW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Response
    from tests.storms.storm import Act


# The service


@dataclass(frozen=True)
class Change(FaultType):
    """The regular page with another body."""

    phases = PAGES
    change: Callable[[bytes], bytes]

    @override
    def respond(self, context: RequestContext) -> Response:
        complete = context.execute()
        return CompleteResponse(complete.status, self.change(complete.body), complete.headers)


class ShuffledPages(FaultType):
    """The same rows without end, each time in another order and with a new token."""

    phases = PAGES

    @override
    def respond(self, context: RequestContext) -> Response:
        rows, token = list(context.existing_query.rows), context.existing_query.issue_token(0)
        Random(token).shuffle(rows)  # noqa: S311 - not for secrets
        return replace(context.page(), rows=rows, next_token=token).response()


def half(message: str) -> Change:
    """Return some of the rows, with a message beside them."""

    def change(body: bytes) -> bytes:
        rows = re.findall(rb'\{"id".*?\}', body)
        kept = b",".join(rows[: len(rows) // 2 + 1])
        return b'{"Results":[%b],"message":"%b"}' % (kept, message.encode())

    return Change(change)


def with_row(row: str) -> Change:
    """Return the page with one more row."""
    more = b"[%b," % row.encode()
    return Change(lambda body: body.replace(b"[", more, 1).replace(b",]", b"]"))


def with_key(key: str, before: str) -> Change:
    """Return the page with one more key at the end of the body or of each row."""
    end, more = before.encode(), b",%b}" % key.encode()
    return Change(lambda body: re.sub(end, lambda found: found[0][:-1] + more, body))


def hit(*types: FaultType) -> Act:
    """Return a move: one of some faults hits requests of the next run."""

    def act(world: World, random: Random) -> None:
        fault_type = deepcopy(random.choice(types))
        phase = random.choice([None, *sorted(PHASES)])
        after, stream = random.choice([0, 0, 1, 2, 5]), random.choice([None, *STREAMS])
        times = random.choice([1, 1, 2, 3, 9, None])
        world.service.faults.add(fault_type.on(stream, phase, times=times, after=after))

    return act


CODES = (300, 400, 404, 405, 408, 409, 410, 418, 500, 500, 502, 503, 504, 599)
TEXTS = (None, SENTINEL, "Query execution failed", "Query was cancelled", "ok")
WAITS = ("1", "30", "600", "86400", "soon", "-1", "Mon, 02 Jun 2025 12:00:00 GMT")
MESSAGES = ("Error", "Query is running", "queued", "failed", SENTINEL)
ROWS = ("null", "[]", "{}", '{"id":"x"}', '{"id":null}', f'{{"id":{ODD_ID}}}')
VALUES: tuple[object, ...] = (
    [],
    {},
    None,
    7,
    {"Results": None},
    {"Results": [7, [SENTINEL]]},
    {"error": SENTINEL},
)
REFUSALS = tuple(
    Status(code, headers=headers)
    for code in (401, 403, 429, 429, 503)
    for headers in ({}, *({"Retry-After": wait} for wait in WAITS))
)
BODIES: tuple[FaultType, ...] = (
    *(JsonBody(value) for value in VALUES),
    *(JsonBody({"message": text}) for text in MESSAGES),
    *(JsonBody({"message": text, "Results": []}) for text in MESSAGES),
    *(RawBody(b""), RawBody(b'{"Results":['), RandomBytes(), HtmlPage(), HtmlPage(503)),
    Redirect(f"https://{SENTINEL}.example"),
)
BODY_KEYS = ('"Results":[]', '"NextToken":null', '"Results":[],"NextToken":""')
ROW_KEYS = ('"id":1', '"updatedOn":"2020-01-01T00:00:00Z"')


def begin(world: World, random: Random) -> None:
    """Give each stream some rows of the last weeks, and a few old ones."""
    for stream in STREAMS:
        for number in range(1, random.randint(0, 11)):
            days = random.choice([40, 40, 40, 3, 9_000])
            world.put(stream, number, BEGIN - random.random() * days * DAY, random)


def add_rows_of_last_century(world: World, random: Random) -> None:
    """Rows from before 2000, unless a bookmark has passed them."""
    if world.ledger.state:
        return
    for number in (21, 22):
        at = BEGIN - random.uniform(10_000, 20_000) * DAY
        world.put(random.choice(STREAMS), number, at, random)


def shuffle_pages(world: World, random: Random) -> None:
    """Pages that never end, though their rows only repeat."""
    world.service.faults.add(ShuffledPages().on(random.choice([None, *STREAMS]), times=None))


def be_slow(world: World, random: Random) -> None:
    """Exports that wait for seconds or hours, or of which only some may be active."""
    world.timing.running_seconds = random.choice([0, 10, 300, 700, 10_000])
    world.timing.queued_polls = random.choice([0, 0, 1, 5, 1_000])
    world.timing.running_polls = random.choice([0, 0, 1, 5, 1_000])
    world.timing.max_active = random.choice([None, None, 0, 1, 2])


# The machine


def suspend(days: float, world: World, random: Random) -> None:
    """A process or a machine that stands still for some time."""
    is_asleep = random.random() < 0.5
    seconds = random.uniform(days / 3, days) * DAY.total_seconds()
    world.machine.at_request[random.randint(1, 25)] = partial(
        world.machine.stop, seconds, is_asleep=is_asleep
    )


def set_clock(first: float, last: float, world: World, random: Random) -> None:
    """A clock that is some days ahead; behind, if they are negative."""
    world.machine.offset = timedelta(days=random.uniform(first, last))


def end_by_signal(world: World, random: Random) -> None:
    """A signal at a request."""
    number = random.choice([signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
    world.machine.at_request[random.randint(1, 30)] = partial(SHUTDOWN.request, number)


# The user


def let_time_pass(world: World, random: Random) -> None:
    """Some hours between two runs."""
    world.machine.pass_time(random.choice([1, 24, 100]) * HOUR.total_seconds())


def select_streams(world: World, random: Random) -> None:
    """Other streams are selected from now on."""
    world.selected = set(random.sample(STREAMS, random.randint(1, 3)))


def read_in_full(world: World, random: Random) -> None:
    """Other streams have full reads from now on."""
    world.full = set(random.sample(STREAMS, random.randint(0, 3)))


def map_streams(world: World, random: Random) -> None:
    """Stream maps drop streams for one run, or the SDK writes its records."""
    one, keep = random.choice(STREAMS), {"__filter__": "True"}
    maps: list[dict[str, Any]] = [{one: None}, {one: keep, "__else__": None}, {one: keep}]
    more = ({"stream_maps": random.choice(maps)}, ROW_BY_ROW)
    world.settings.update(random.choice(more))


def choose_windows(world: World, random: Random) -> None:
    """A range of some weeks in windows of some days."""
    world.settings["start_date"] = (BEGIN - random.uniform(10, 60) * DAY).isoformat()
    world.settings["export_window_days"] = random.randint(5, 40)


CHOICES: dict[str, tuple[Any, ...]] = {
    "lookback_hours": (0, 1, 48, 2000),
    "page_size": (1, 2, 5, 999),
    "max_concurrent_exports": (1, 2, 4),
    "on_stream_error": ("continue", "abort"),
    "request_timeout_seconds": (5, 60, 300),
    "export_window_days": (None, 3000),
    "end_date": tuple((BEGIN + days * DAY).isoformat() for days in (-9, -2.5, -0.1, 0, 30)),
}


def choose_settings(world: World, random: Random) -> None:
    """Other settings for one run."""
    for name in random.sample(sorted(CHOICES), random.randint(1, 4)):
        world.settings[name] = random.choice(CHOICES[name])


def end(world: World, _: Random) -> None:
    """After a storm, one quiet run is complete."""
    world.calm()
    world.selected = set(STREAMS)
    code = world.run()
    assert code == 0, f"the quiet run after the storm ends with {code}"


MOVES = (
    Move("run", 40, lambda world, _: world.run()),
    Move("status", 10, hit(*(Status(code, text) for code in CODES for text in TEXTS))),
    Move("refusal", 10, hit(*REFUSALS)),
    Move("body", 10, hit(*BODIES)),
    Move("cut connection", 8, hit(ConnectionReset(), TruncatedBody(), Hang())),
    Move("ended query", 8, hit(FailQuery(), CancelQuery(), *map(Status, (400, 404, 410)))),
    Move("slow exports", 4, be_slow),
    Move("repeated queryId or token", 4, hit(RepeatQueryId(), RepeatToken())),
    Move("empty pages", 4, hit(EmptyPage(), EmptyPage(), EndlessPages())),
    Move("failure beside rows", 2, hit(half("Query execution failed"), half("truncated"))),
    Move("wait beside rows", 3, hit(half("Query is running"), half("Partial"))),
    Move("body key twice", 3, hit(*(with_key(key, r"\}$") for key in BODY_KEYS))),
    Move("row key twice", 2, hit(*(with_key(key, r'"\}') for key in ROW_KEYS))),
    Move("odd row", 3, hit(*map(with_row, ROWS))),
    Move("id true", 2, hit(with_row('{"id":true}'))),
    Move("thousands of empty rows", 1, hit(with_row(",".join(["{}"] * 3000)))),
    Move("shuffled pages", 2, shuffle_pages),
    Move("rows of the last century", 2, add_rows_of_last_century),
    Move("no Date", 2, lambda world, _: setattr(world.machine, "sends_date", False)),
    Move("wrong clock", 5, partial(set_clock, -0.9, 3)),
    Move("clock days behind", 3, partial(set_clock, -30, -1)),
    Move("suspension", 4, partial(suspend, 0.4)),
    Move("suspension of days", 3, partial(suspend, 5)),
    Move("signal", 8, end_by_signal),
    Move("time", 4, let_time_pass),
    Move("lost state", 2, lambda world, _: world.ledger.lose_state()),
    Move("selection", 5, select_streams),
    Move("full reads", 6, read_in_full),
    Move("stream maps", 7, map_streams),
    Move("windows", 5, choose_windows),
    Move("settings", 10, choose_settings),
)
FAULTY_SERVICE = Storm("faulty-service", begin, MOVES, end)
