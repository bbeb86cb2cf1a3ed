"""Rows that reach the data lake hours after their `updatedOn`: no run may lose one.

The lake is a dataset with a clock that the test moves. A row has one version per change; the lake
shows the newest version that has arrived.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator import Dataset, FaultType, Simulator
from tests.simulator.timestamps import UNUSUAL_FORMATS, format_timestamp, to_milliseconds
from tests.support.harness import canonical, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Response
    from tests.support.harness import Output

STREAM = "tags"
HOUR = timedelta(hours=1)
BEGIN = datetime(2025, 3, 1, tzinfo=UTC)
"""Before every row."""

Run: TypeAlias = tuple[datetime, timedelta, dict[str, Any]]
"""Start of a run, the time that passes in the lake per submitted export, and settings."""

FORMS = (format_timestamp, *UNUSUAL_FORMATS[1:])
"""Formats in which the service may write a timestamp with milliseconds."""


@dataclass(frozen=True, order=True)
class Version:
    """A row between two changes.

    Attributes:
        updated: `updatedOn` of the row.
        id: Id of the row.
        arrives: When it reaches the lake.
        form: Format of `updatedOn`.
    """

    updated: datetime
    id: int
    arrives: datetime
    form: int = 0

    @property
    def key(self) -> tuple[int, str]:
        """Id and `updatedOn` as the tap emits them, which identify the version."""
        return self.id, canonical(self.updated)


class Lake(FaultType):
    """The stream's rows in the lake; every submitted export moves the lake's clock.

    Attributes:
        now: Time of the clock.
        step: Time per submitted export.
    """

    def __init__(self, simulator: Simulator, versions: Sequence[Version]) -> None:
        """Replace the rows of the lake."""
        self._rows = simulator.dataset[STREAM]
        self._versions = sorted(versions)
        self._lock = Lock()
        self.now = BEGIN
        self.step = timedelta()
        simulator.clear_faults()
        simulator.inject(self.on(STREAM, "submit", times=None))

    def respond(self, context: RequestContext) -> Response:
        """Move the clock and respond with the rows that have arrived."""
        with self._lock:
            self.move_to(self.now + self.step)
            return context.execute()

    def move_to(self, now: datetime) -> None:
        """Move the clock to a time and show the rows that have arrived."""
        self.now = now
        self._rows[:] = [
            {
                "id": version.id,
                "updatedOn": FORMS[version.form](to_milliseconds(version.updated)),
                "name": canonical(version.updated),
            }
            for version in self.visible(now)
        ]

    def visible(self, now: datetime) -> list[Version]:
        """Return what the lake shows at a time: one version per row."""
        arrived = [version for version in self._versions if version.arrives <= now]
        return list({version.id: version for version in arrived}.values())


@dataclass
class History:
    """A series of runs, each with the last state of the run before.

    Attributes:
        simulator: The service.
        emitted: The emitted versions in their order.
        state: The last state.
    """

    simulator: Simulator
    emitted: list[tuple[int, str]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def bookmark(self) -> str:
        """The stream's bookmark; empty before the first run."""
        bookmarks = self.state.get("bookmarks", {})
        value: str = bookmarks.get(STREAM, {}).get("replication_key_value", "")
        return value

    def run(self, started: datetime, *, lookback: int, **more: Any) -> Output:
        """Run the tap and check every bookmark in its output.

        Args:
            started: Start of the run as the tap sees it.
            lookback: The lookback, in hours.
            **more: Other settings.
        """
        config = settings_for(self.simulator, lookback_hours=lookback, **more)
        output = sync(config, STREAM, state=self.state, started=started)
        assert output.error is None
        watermark = canonical(started - lookback * HOUR)
        for message in output.messages:
            if message["type"] == "RECORD":
                record = message["record"]
                assert record["name"] == record["updatedOn"]
                self.emitted.append((record["id"], record["updatedOn"]))
            elif message["type"] == "STATE":
                before, self.state = self.bookmark, message["value"]
                assert self.bookmark >= before
                newest = max((updated for _, updated in self.emitted), default="")
                assert self.bookmark <= max(before, newest, watermark)
        return output


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    """A service with the rows of a lake."""
    with Simulator(Dataset(0, newest=BEGIN)) as simulator:
        yield simulator


# One row

NIGHT = BEGIN + 240 * HOUR


@pytest.mark.parametrize(("lookback", "loaded"), [(48, [1, 2]), (30, [1, 2]), (29, [1])])
def test_row_30_hours_late_is_emitted_with_a_lookback_of_30_hours(
    service: Simulator, lookback: int, loaded: list[int]
) -> None:
    on_time = Version(NIGHT - timedelta(seconds=1), 1, NIGHT - timedelta(seconds=1))
    # The bookmark is one second before the run; this row arrives one second after it.
    late = Version(NIGHT + timedelta(seconds=1) - 30 * HOUR, 2, NIGHT + timedelta(seconds=1))
    lake, history = Lake(service, [on_time, late]), History(service)
    for started in (NIGHT, NIGHT + 24 * HOUR):
        lake.move_to(started)
        history.run(started, lookback=lookback)
        assert history.bookmark == on_time.key[1]
    assert history.emitted[0] == on_time.key
    assert sorted({number for number, _ in history.emitted}) == loaded


def test_bookmark_of_quiet_stream_follows_the_watermark(service: Simulator) -> None:
    row = Version(NIGHT + 30 * HOUR, 1, NIGHT + 60 * HOUR)
    lake, history = Lake(service, [row]), History(service)
    bookmarks = []
    for night in range(6):
        lake.move_to(NIGHT + night * 24 * HOUR)
        history.run(lake.now, lookback=48)
        bookmarks.append(history.bookmark)
    assert bookmarks == [
        canonical(NIGHT - 48 * HOUR),
        canonical(NIGHT - 24 * HOUR),
        canonical(NIGHT),
        row.key[1],  # newer than the watermark
        canonical(NIGHT + 48 * HOUR),
        canonical(NIGHT + 72 * HOUR),
    ]
    assert set(history.emitted) == {row.key}


# Any history


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[Version], list[Run]]:
    """Return a lookback, rows that are not later than the lookback, and runs."""

    def time(most: timedelta, least: timedelta = timedelta()) -> timedelta:
        milliseconds = timedelta(milliseconds=1)
        return draw(st.integers(least // milliseconds, most // milliseconds)) * milliseconds

    lookback = draw(st.sampled_from((0, 1, 30, 48)))
    versions: dict[tuple[int, datetime], Version] = {}
    for _ in range(draw(st.integers(1, 12))):
        updated, number = BEGIN + time(200 * HOUR), draw(st.integers(1, 8))
        delay = draw(st.sampled_from((timedelta(), lookback * HOUR, time(lookback * HOUR))))
        form = draw(st.integers(0, len(FORMS) - 1))
        versions[number, updated] = Version(updated, number, updated + delay, form)
    runs, started = [], BEGIN
    for _ in range(draw(st.integers(1, 5))):
        started += time(80 * HOUR, HOUR / 60)
        settings_: dict[str, Any] = {
            "export_window_days": draw(st.sampled_from((None, 1, 2, 7))),
            "max_concurrent_exports": draw(st.sampled_from((1, 4))),
            "page_size": draw(st.sampled_from((1, 3, 999))),
        }
        if draw(st.booleans()):
            settings_["end_date"] = max(started - time(60 * HOUR), BEGIN).isoformat()
        runs.append((started, draw(st.sampled_from((timedelta(), HOUR / 2, 9 * HOUR))), settings_))
    last = max(started, *(version.arrives for version in versions.values())) + HOUR
    runs.append((last, timedelta(), {"export_window_days": draw(st.sampled_from((None, 3)))}))
    return lookback, list(versions.values()), runs


@settings(max_examples=25, derandomize=True, deadline=None)
@given(histories())
def test_any_history_of_arrivals_is_emitted_completely(
    service: Simulator, history_of: tuple[int, list[Version], list[Run]]
) -> None:
    lookback, versions, runs = history_of
    lake, history = Lake(service, versions), History(service)
    for started, lake.step, more in runs:
        # A run may take longer than the time to the next one.
        lake.move_to(max(lake.now, started))
        shown = {version.key for version in lake.visible(lake.now) if not lake.step}
        history.run(started, lookback=lookback, start_date=BEGIN.isoformat(), **more)
        bound = datetime.fromisoformat(more.get("end_date", started.isoformat()))
        in_range = {key for key in shown if key[1] <= canonical(bound.replace(microsecond=0))}
        assert in_range <= set(history.emitted)
    last = dict(history.emitted)
    assert last == {version.id: canonical(version.updated) for version in sorted(versions)}
