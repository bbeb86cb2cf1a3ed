"""A service under which a run waits in every way: to poll, to retry, for a response, for a slot."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.simulator import Dataset, Hang, Simulator, Status
from tests.support.exports import NAMES
from tests.support.harness import NEWEST
from tests.support.messages import STREAM_BEGINS

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST, POLLED, RETRIED, HANGING, AHEAD, REFUSED = STREAMS = NAMES[:6]
"""The streams of a run in the order of their sync, named after the state of their export."""

MAX_CONCURRENT = 23
"""Enough for all streams."""


@contextmanager
def busy_service(rows: int) -> Iterator[Simulator]:
    """Start a service whose first stream has some rows; the exports after it do not complete."""
    dataset = Dataset(dict.fromkeys(STREAMS, 5) | {FIRST: rows, AHEAD: 200}, newest=NEWEST)
    with Simulator(dataset, running_seconds={POLLED: 1e9}) as simulator:
        simulator.inject(Status(503, headers={"Retry-After": "600"}).on(RETRIED, "submit"))
        simulator.inject(Hang().on(HANGING, "first_page"))
        # The tap submits it again when another export ends, and none does.
        simulator.inject(Status(429).on(REFUSED, "submit", times=None))
        yield simulator


def is_busy(simulator: Simulator) -> bool:
    """Return whether the exports after the first one are in their final states."""
    found = {(one.stream, one.status) for one in simulator.requests}
    return found >= {(POLLED, 202), (RETRIED, 503), (HANGING, None), (REFUSED, 429)}


def query_ids(simulator: Simulator, *streams: str) -> dict[str, str]:
    """Return some streams by the query id of their export."""
    return {
        one.query["queryId"]: one.stream
        for one in simulator.requests
        if one.stream in streams and one.method == "GET"
    }


def has_begun(stream: str, log: str) -> bool:
    """Return whether the main thread waits for the pages of a stream, or is about to."""
    return f"{STREAM_BEGINS}{stream}'" in log
