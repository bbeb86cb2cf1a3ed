"""A backfill that is interrupted again and again: the next run resumes from the last state.

In the environment, INTERRUPTIONS=1000 interrupts that many runs instead of some 6, and
INTERRUPTIONS_SEED chooses another seed.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import Dataset, EmptyPage, FailQuery, Simulator
from tests.support import messages
from tests.support.fake_target import FakeTarget
from tests.support.harness import ROW_BY_ROW, canonical, catalog_of, settings_for
from tests.support.notify import CallAtRequest
from tests.support.tap_process import EXIT_CODES, TapProcess

if TYPE_CHECKING:
    from pathlib import Path

STREAMS = ("checkins", "rooms", "tags")
CATALOG = catalog_of(STREAMS)
DAY = timedelta(days=1)
PIPE_SIZE = 4096
"""So small that the tap is never far ahead of its reader."""


def is_complete(
    process: TapProcess, target: FakeTarget, number: signal.Signals, at: int | None
) -> bool:
    """Load the output of a run, with a signal after some lines; return whether it completed."""
    for lines, line in enumerate(process.stdout, 1):
        if number is signal.SIGKILL and not line.endswith(b"\n"):
            break
        assert line.endswith(b"\n")  # signals with a handler do not cut a line
        target.load_line(line)
        if lines == at:
            process.send(number)
    code, log = process.wait(), process.log
    assert "Exception ignored" not in log, log
    assert "Traceback" not in log, log
    assert log.count(messages.SUMMARY) <= 1, log
    if code == 0:
        return True
    assert process.is_signalled, log
    assert code == EXIT_CODES[number], log
    if number is not signal.SIGKILL:
        assert messages.stopped_by(number.name) in log.splitlines()[-1], log
    return False


def interrupt_backfill(folder: Path, random: Random, *, unbuffered: bool) -> int:
    """Run a backfill until it completes, check its rows, and return the number of interruptions."""
    newest = datetime.now(UTC) - timedelta(hours=1)
    counts = {stream: random.randint(10, 25) for stream in STREAMS}
    with Simulator(Dataset(counts, newest=newest, span=7 * DAY)) as simulator:
        target = FakeTarget(simulator)
        settings: dict[str, Any] = {
            "start_date": (newest - 8 * DAY).isoformat(),
            "export_window_days": random.choice((1, 2)),
            "lookback_hours": random.choice((0, 6, 30)),
            "page_size": random.choice((1, 5, 20)),
            "max_concurrent_exports": random.choice((1, 4)),
            **random.choice(({}, ROW_BY_ROW)),
        }
        furthest = 60
        for interruptions in range(60):
            number = random.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL))
            at = random.randint(1, furthest)
            is_at_request = random.random() < 0.5
            simulator.clear_faults()
            for fault in random.sample((FailQuery(), EmptyPage()), random.randint(0, 2)):
                simulator.inject(fault.on(None, "later_page", after=random.randint(0, 20)))
            # The process sends its first request long after its start.
            processes: list[TapProcess] = []
            if is_at_request:
                send = partial(lambda to, what: to[0].send(what), processes, number)
                simulator.inject(CallAtRequest(send).on(after=at))
            before, started = target.state, datetime.now(UTC).replace(microsecond=0)
            with TapProcess(
                folder,
                settings_for(simulator, **settings),
                catalog=CATALOG,
                state=before,
                pipe_size=PIPE_SIZE,
                unbuffered=unbuffered,
            ) as process:
                processes.append(process)
                if is_complete(process, target, number, None if is_at_request else at):
                    assert target.missing(started) == set()
                    return interruptions
            if target.state == before:
                furthest += furthest // 3
            # The service adds a row, or changes one.
            rows = simulator.dataset[stream := random.choice(STREAMS)]
            new = simulator.dataset.row(stream, len(rows) + 1)
            rows += [new] if (is_added := random.random() < 0.5) else []
            (new if is_added else random.choice(rows))["updatedOn"] = canonical(datetime.now(UTC))
    pytest.fail("no run has completed")


@pytest.mark.slow
def test_backfill_interrupted_again_and_again_has_every_row(tmp_path: Path) -> None:
    """Two backfills at the same time, one of them with PYTHONUNBUFFERED."""
    wanted = int(os.environ.get("INTERRUPTIONS", "6")) / 2
    seed = os.environ.get("INTERRUPTIONS_SEED", "1")

    def work(unbuffered: bool) -> None:  # noqa: FBT001 - for `map`
        (folder := tmp_path / str(unbuffered)).mkdir()
        random, interruptions = Random(f"{seed}:{unbuffered}"), 0  # noqa: S311 - not for secrets
        while interruptions < wanted:
            interruptions += interrupt_backfill(folder, random, unbuffered=unbuffered)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, (False, True))) == [None, None]
