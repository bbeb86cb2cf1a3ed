"""A faulty service over several runs, with the state carried on."""

from __future__ import annotations

import re
import signal
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
from tests.simulator.request_context import PAGES
from tests.simulator.responses import CompleteResponse
from tests.storms.invariants import ODD_ID, SENTINEL
from tests.storms.storm import BEGIN, DAY, HOUR, STREAMS, Move, Storm, World
from tests.support.harness import ROW_BY_ROW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.request_context import Phase, RequestContext
    from tests.simulator.responses import Response

IS_MENDED = False
"""Whether the faults that some moves find are mended; until then, these are not in storms."""

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
PHASES: tuple[Phase | None, ...] = (None, "submit", "poll", "first_page", "later_page")


@dataclass(frozen=True)
class Change(FaultType):
    """The regular page, with a change of its body."""

    phases = PAGES
    change: Callable[[bytes], bytes]

    @override
    def respond(self, context: RequestContext) -> Response:
        complete = context.execute()
        return CompleteResponse(complete.status, self.change(complete.body), complete.headers)


@dataclass(frozen=True)
class Shuffled(FaultType):
    """The same rows without end, each time in another order and with a new token."""

    phases = PAGES

    @override
    def respond(self, context: RequestContext) -> Response:
        query = context.existing_query
        rows = list(query.rows)
        token = query.issue_token(0)
        Random(token).shuffle(rows)  # noqa: S311 - not for secrets
        return replace(context.page(), rows=rows, next_token=token).response()


def begin(world: World, random: Random) -> None:
    """Give each stream some rows of the last weeks, and a few old ones."""
    for stream in STREAMS:
        for number in range(1, random.randint(0, 11)):
            days = random.choice([40, 40, 40, 3, 9_000])
            world.put(stream, number, BEGIN - random.random() * days * DAY, random)


# The service


def answer_with_status(world: World, random: Random) -> None:
    """Any status, with any message."""
    code = random.choice(
        [400, 404, 405, 408, 409, 410, 418, 422, 500, 500, 502, 503, 504, 599, 300]
    )
    message = random.choice([None, SENTINEL, "Query execution failed", "Query was cancelled", "ok"])
    world.inject(Status(code, message), random, phase=random.choice(PHASES))


def refuse(world: World, random: Random) -> None:
    """A refusal, with or without `Retry-After`."""
    wait = random.choice(
        [None, "1", "30", "600", "86400", "soon", "-1", "Mon, 02 Jun 2025 12:00:00 GMT"]
    )
    headers = {} if wait is None else {"Retry-After": wait}
    code = random.choice([429, 429, 403, 401, 503])
    world.inject(Status(code, None, headers), random, phase=random.choice(PHASES))


VALUES: tuple[object, ...] = (
    *([], {}, None, 7, {"Results": None}, {"Results": {}}, {"Results": [7, None, [SENTINEL]]}),
    *({"message": "Error"}, {"message": "running"}, {"message": SENTINEL}, {"message": "No rows"}),
    *({"Results": [], "message": "Query is running"}, {"Results": [], "message": "failed"}),
    {"error": SENTINEL},
)
BODIES: tuple[FaultType, ...] = (
    *map(JsonBody, VALUES),
    *(RawBody(b""), RawBody(b'{"Results":['), RandomBytes(), HtmlPage(), HtmlPage(503)),
    Redirect(f"https://{SENTINEL}.example"),
)


def answer_with_body(world: World, random: Random) -> None:
    """Any body with status 200."""
    world.inject(random.choice(BODIES), random, phase=random.choice(PHASES))


def cut_connection(world: World, random: Random) -> None:
    """A connection that breaks, or a response that never comes."""
    cut: FaultType = random.choice([ConnectionReset(), TruncatedBody(random.random()), Hang()])
    world.inject(cut, random, phase=random.choice(PHASES))


def end_query(world: World, random: Random) -> None:
    """A query that fails, is cancelled, or has expired when its pages are asked for."""
    kind: FaultType = random.choice(
        [FailQuery(), CancelQuery(), Status(400), Status(404), Status(410)]
    )
    world.inject(kind, random, phase=random.choice(PHASES[1:]))


def be_slow(world: World, random: Random) -> None:
    """Exports that are queued or run for seconds or hours."""
    world.timing.running_seconds = random.choice([0, 10, 300, 700, 10_000])
    world.timing.queued_polls = random.choice([0, 0, 1, 5, 1_000])
    world.timing.running_polls = random.choice([0, 0, 1, 5, 1_000])


def limit_exports(world: World, random: Random) -> None:
    """A limit on exports that are active at once."""
    world.timing.max_active = random.choice([0, 1, 2])


def repeat_key(world: World, random: Random) -> None:
    """A `queryId` or a token that comes again."""
    keys: list[FaultType] = [RepeatQueryId(), RepeatToken("used"), RepeatToken("first")]
    world.inject(random.choice(keys), random)


def insert_empty_pages(world: World, random: Random) -> None:
    """Pages without rows that have a token, some or without end."""
    pages: list[FaultType] = [EmptyPage(), EmptyPage(), EndlessPages()]
    world.inject(random.choice(pages), random)


def _changed(change: Callable[[bytes], bytes], world: World, random: Random) -> None:
    world.inject(Change(change), random)


def fail_beside_rows(world: World, random: Random) -> None:
    """Half of the rows, and a message that reports a failure."""
    text = random.choice([b"Query execution failed", b"Error", b"truncated"])
    _changed(partial(_halved, text), world, random)


def wait_beside_rows(world: World, random: Random) -> None:
    """Half of the rows, and a message that the query still runs or that the result is partial."""
    text = random.choice([b"Accepted query and is running", b"Partial result", b"queued"])
    _changed(partial(_halved, text), world, random)


def _halved(text: bytes, body: bytes) -> bytes:
    rows = re.findall(rb'\{"id".*?\}', body)
    kept = b",".join(rows[: len(rows) // 2 + 1])
    return b'{"Results":[%b],"message":"%b"}' % (kept, text)


def repeat_json_key(world: World, random: Random) -> None:
    """A key of the page that comes twice, with another value."""
    more = random.choice([b'"Results":[]', b'"NextToken":null', b'"Results":[],"NextToken":""'])
    _changed(lambda body: body[:-1] + b"," + more + b"}", world, random)


def repeat_row_key(world: World, random: Random) -> None:
    """A field of a row that comes twice, with another value."""
    more = random.choice([b'"id":1', b'"updatedOn":"2020-01-01T00:00:00Z"'])
    _changed(lambda body: re.sub(rb'"\}', b'",' + more + b"}", body), world, random)


def add_odd_row(world: World, random: Random) -> None:
    """A row without a usable id, or without a usable timestamp."""
    odd = b'{"id":%d}' % ODD_ID
    row = random.choice([b"null", b"[]", b"{}", b'{"id":"x"}', b'{"id":null}', odd])
    _changed(partial(_with_row, row), world, random)


def add_row_with_id_true(world: World, random: Random) -> None:
    """A row whose id is a boolean."""
    _changed(partial(_with_row, b'{"id":true}'), world, random)


def _with_row(row: bytes, body: bytes) -> bytes:
    return body.replace(b"[", b"[" + row + b",", 1).replace(b",]", b"]")


def flood_with_empty_rows(world: World, random: Random) -> None:
    """Many more rows than a page may have, all of them empty."""
    _changed(lambda _: b'{"Results":[%b]}' % b",".join([b"{}"] * 3000), world, random)


def shuffle_pages_without_end(world: World, random: Random) -> None:
    """Pages that never end, though their rows only repeat."""
    world.inject(Shuffled(), random, times=None)


# The machine


def miss_date(world: World, _: Random) -> None:
    """Responses without a `Date` header."""
    world.weather.sends_date = False


def set_clock_wrong(world: World, random: Random) -> None:
    """A clock that is behind or ahead."""
    world.clock.offset = timedelta(hours=random.uniform(-20, 80))


def set_clock_days_behind(world: World, random: Random) -> None:
    """A clock that is more than a day behind."""
    world.clock.offset = timedelta(days=random.uniform(-30, -1))


def suspend(world: World, random: Random) -> None:
    """A process or a machine that stands still for some hours."""
    _suspend(world, random, hours=random.uniform(0, 10))


def suspend_for_days(world: World, random: Random) -> None:
    """A process or a machine that stands still for some days."""
    _suspend(world, random, hours=random.uniform(24, 100))


def _suspend(world: World, random: Random, *, hours: float) -> None:
    stop = partial(world.clock.suspend, hours * 3600, is_asleep=random.random() < 0.5)
    world.weather.at_request[random.randint(1, 25)] = stop


def signal_at_request(world: World, random: Random) -> None:
    """A signal at a request."""
    number = random.choice(SIGNALS)
    world.weather.at_request[random.randint(1, 30)] = partial(SHUTDOWN.request, number)


def signal_at_write(world: World, random: Random) -> None:
    """A signal at a write."""
    world.weather.signal_at_write = (random.choice(SIGNALS), random.randint(1, 20))


# The user


def run(world: World, _: Random) -> None:
    """Run the tap."""
    world.run()


def let_time_pass(world: World, random: Random) -> None:
    """Some hours between two runs."""
    world.clock.pass_by(random.choice([1, 24, 100]) * HOUR.total_seconds())


def lose_state(world: World, _: Random) -> None:
    """A run without `--state`."""
    world.ledger.lose_state()


def select_streams(world: World, random: Random) -> None:
    """Other streams are selected from now on."""
    world.selected = set(random.sample(STREAMS, random.randint(1, 3)))


def read_in_full(world: World, random: Random) -> None:
    """Other streams have full reads from now on."""
    world.full = set(random.sample(STREAMS, random.randint(0, 3)))


def drop_streams(world: World, random: Random) -> None:
    """Stream maps drop streams for one run."""
    one = random.choice(STREAMS)
    maps: list[dict[str, Any]] = [{one: None}, {one: {"id": "id"}, "__else__": None}]
    world.settings["stream_maps"] = random.choice(maps)


def write_row_by_row(world: World, random: Random) -> None:
    """Settings with which the SDK writes the records of one run."""
    maps = {"stream_maps": {name: {"__filter__": "True"} for name in STREAMS}}
    world.settings.update(random.choice([ROW_BY_ROW, maps]))


def choose_windows(world: World, random: Random) -> None:
    """A range of some weeks in windows of some days."""
    start = BEGIN - random.uniform(10, 60) * DAY
    world.settings["start_date"] = start.isoformat()
    world.settings["export_window_days"] = random.randint(5, 40)


def choose_settings(world: World, random: Random) -> None:
    """Other settings for one run."""
    choices: dict[str, list[Any]] = {
        "lookback_hours": [0, 1, 48, 2000],
        "page_size": [1, 2, 5, 999],
        "max_concurrent_exports": [1, 2, 4],
        "on_stream_error": ["continue", "abort"],
        "request_timeout_seconds": [5, 60, 300],
        "export_window_days": [None, 3000],
        "unknown_fields": ["capture", "ignore"],
    }
    for name in random.sample(sorted(choices), random.randint(1, 4)):
        world.settings[name] = random.choice(choices[name])


def set_end_date(world: World, random: Random) -> None:
    """An `end_date`, possibly in the future."""
    world.settings["end_date"] = (BEGIN + random.uniform(-9, 30) * DAY).isoformat()


def end(world: World, _: Random) -> None:
    """After a storm, one quiet run is complete."""
    world.calm()
    world.selected = set(STREAMS)
    code = world.run()
    assert code == 0, f"the quiet run after the storm ends with {code}"


MOVES = (
    Move(run, 40),
    Move(answer_with_status, 10),
    Move(refuse, 10),
    Move(answer_with_body, 10),
    Move(cut_connection, 8),
    Move(end_query, 8),
    Move(be_slow, 3),
    Move(limit_exports),
    Move(repeat_key, 4),
    Move(insert_empty_pages, 4),
    Move(fail_beside_rows, 2),
    Move(wait_beside_rows, 3, is_on=IS_MENDED),
    Move(repeat_json_key, 3, is_on=IS_MENDED),
    Move(repeat_row_key, 2, is_on=IS_MENDED),
    Move(add_odd_row, 3),
    Move(add_row_with_id_true, 2, is_on=IS_MENDED),
    Move(flood_with_empty_rows),
    Move(shuffle_pages_without_end, 2, is_on=IS_MENDED),
    Move(miss_date, 2),
    Move(set_clock_wrong, 5),
    Move(set_clock_days_behind, 3, is_on=IS_MENDED),
    Move(suspend, 4),
    Move(suspend_for_days, 3, is_on=IS_MENDED),
    Move(signal_at_request, 6),
    Move(signal_at_write, 4),
    Move(let_time_pass, 4),
    Move(lose_state, 2),
    Move(select_streams, 5),
    Move(read_in_full, 6),
    Move(drop_streams, 4),
    Move(write_row_by_row, 4),
    Move(choose_windows, 5),
    Move(choose_settings, 8),
    Move(set_end_date, 4),
)

FAULTY_SERVICE = Storm("faulty-service", begin, MOVES, end)
