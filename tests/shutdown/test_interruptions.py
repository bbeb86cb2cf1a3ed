"""A backfill that is interrupted again and again: the next run resumes from the last state.

In the environment, INTERRUPTIONS=1000 interrupts that many runs instead of some 12, and
INTERRUPTIONS_SEED chooses another seed.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
    from collections.abc import Callable
    from pathlib import Path


STREAMS = ("checkins", "rooms", "tags")
DAY = timedelta(days=1)
PIPE_SIZE = 4096
"""So small that the tap is never far ahead of its reader."""


@dataclass
class Backfill:
    """A backfill of three streams that is interrupted until a run completes.

    Attributes:
        home: Folder for its files.
        seed: Seed of all random choices.
        is_unbuffered: Whether the processes have PYTHONUNBUFFERED.
        interruptions: Number of interrupted runs.
        rounds: Number of runs.
        ends: Number of runs by exit code and by whether they had logged anything.
    """

    home: Path
    seed: str
    is_unbuffered: bool
    interruptions: int = 0
    rounds: int = 0
    ends: Counter[tuple[int, bool]] = field(default_factory=Counter)
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        """Seed the random choices."""
        self._random = Random(self.seed)  # noqa: S311 - not for secrets

    def run(self) -> None:
        """Run until it completes, and check that every row was loaded."""
        random = self._random
        newest = datetime.now(UTC) - timedelta(hours=1)
        counts = {stream: random.randint(20, 50) for stream in STREAMS}
        with Simulator(Dataset(counts, seed=self.rounds, newest=newest, span=7 * DAY)) as simulator:
            target = FakeTarget(simulator)
            config = settings_for(
                simulator,
                start_date=(newest - 8 * DAY).isoformat(),
                export_window_days=random.choice((1, 2)),
                lookback_hours=random.choice((0, 6, 30)),
                page_size=random.choice((1, 5, 20)),
                max_concurrent_exports=random.choice((1, 4)),
                **random.choice(({}, ROW_BY_ROW)),
            )
            furthest = 30
            for _ in range(60):
                before = target.state
                started = datetime.now(UTC).replace(microsecond=0)
                if self._round(simulator, target, config, furthest):
                    assert target.missing(started) == set()
                    return
                if target.state == before:
                    furthest += furthest // 3
                self._change_something(simulator)
            pytest.fail("no run has completed")

    def _round(
        self, simulator: Simulator, target: FakeTarget, config: dict[str, Any], furthest: int
    ) -> bool:
        """Run the tap once; return whether it completed."""
        random = self._random
        self.rounds += 1
        number = random.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL))
        moment = random.choice(("line", "request", "time"))
        at = random.randint(1, furthest)
        reads_on = number is not signal.SIGKILL or random.random() < 0.5
        simulator.clear_faults()
        for fault in random.sample((FailQuery(), EmptyPage()), random.randint(0, 2)):
            simulator.inject(fault.on(None, "later_page", after=random.randint(0, 20)))
        # The process sends its first request long after its start.
        processes: list[TapProcess] = []
        if moment == "request":
            simulator.inject(CallAtRequest(lambda: processes[0].send(number)).on(after=at))
        with TapProcess(
            self.home,
            config,
            catalog=catalog_of(STREAMS),
            state=target.state,
            pipe_size=PIPE_SIZE,
            unbuffered=self.is_unbuffered,
        ) as process:
            processes.append(process)
            timer = threading.Timer(random.uniform(0.0, 0.9), process.send, [number])
            if moment == "time":
                timer.start()
            lines = 0
            try:
                for line in process.stdout:
                    if number is signal.SIGKILL and not line.endswith(b"\n"):
                        break
                    # Signals with a handler do not cut a line.
                    assert line.endswith(b"\n")
                    target.load_line(line)
                    lines += 1
                    if moment == "line" and lines == at:
                        process.send(number)
                        if not reads_on:
                            break  # like a target that was killed, too
                code = process.wait()
            finally:
                timer.cancel()
                if moment == "time":
                    timer.join()
        self.ends[code, bool(process.log)] += 1
        return self._is_complete(code, process, number)

    def _is_complete(self, code: int, process: TapProcess, number: signal.Signals) -> bool:
        """Check how a run ended; return whether it completed."""
        log = process.log
        assert "Exception ignored" not in log, log
        assert log.count(messages.SUMMARY) <= 1, log
        if code == 0:
            return True
        assert process.is_signalled, log
        self.interruptions += 1
        if code == -signal.SIGKILL:
            return False
        if code == EXIT_CODES[number] and "Traceback" not in log:
            assert messages.stopped_by(number.name) in log.splitlines()[-1], log
            return False
        # During the tap's imports, the signal ends the process as it ends any program. Before them,
        # SIGINT ends Python's own start with a traceback.
        assert " | INFO " not in log, log
        assert not re.search(r'tap_campusgroups/__main__\.py", line \d+, in main', log), log
        assert code == -number or (code == 1 and "KeyboardInterrupt" in log), (code, log)
        return False

    def _change_something(self, simulator: Simulator) -> None:
        """Add a row to the service, change one, or neither."""
        stream = self._random.choice(STREAMS)
        rows = simulator.dataset[stream]
        now = canonical(datetime.now(UTC))
        match self._random.randrange(3):
            case 0:
                rows.append(simulator.dataset.row(stream, len(rows) + 1) | {"updatedOn": now})
            case 1:
                self._random.choice(rows)["updatedOn"] = now


@pytest.mark.slow
def test_backfill_interrupted_again_and_again_has_every_row(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Two backfills at the same time, one of them with PYTHONUNBUFFERED."""
    wanted = int(os.environ.get("INTERRUPTIONS", "12")) / 2
    seed = os.environ.get("INTERRUPTIONS_SEED", "1")

    def work(unbuffered: bool) -> Backfill:  # noqa: FBT001 - for `map`
        home = tmp_path / str(unbuffered)
        home.mkdir()
        backfill = Backfill(home, f"{seed}:{unbuffered}", unbuffered)
        while backfill.interruptions < wanted:
            backfill.run()
        return backfill

    with ThreadPoolExecutor(2) as pool:
        backfills = list(pool.map(work, (False, True)))
    interruptions = sum(backfill.interruptions for backfill in backfills)
    record_property("interruptions", interruptions)
    ends = sum((backfill.ends for backfill in backfills), Counter())
    print(f"{interruptions} interruptions; exit codes: {dict(ends)}")  # noqa: T201 - with pytest -s
    assert interruptions >= 2 * wanted
