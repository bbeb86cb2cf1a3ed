"""`examples/duckdb_attendance.sql` on the files that target-jsonl wrote in two runs."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

from tests.simulator import Dataset, Simulator
from tests.support import attendance, documents
from tests.support.harness import NEWEST, settings_for, sync
from tests.support.pipeline import write_jsonl

if TYPE_CHECKING:
    from pathlib import Path

STREAMS = ("events", "checkins", "rsvp")
SCRIPTS = ("examples/duckdb.sql", "examples/duckdb_attendance.sql")


@pytest.mark.slow
def test_attendance_in_duckdb_matches_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset({"events": 40, "checkins": 150, "rsvp": 150, "users": 50}, newest=NEWEST)
    output = tmp_path / "output" / "campusgroups"
    output.mkdir(parents=True)
    with Simulator(dataset) as service:
        first = sync(settings_for(service), *STREAMS)
        write_jsonl(first.text, output)
        before = {stream: deepcopy(dataset[stream]) for stream in STREAMS}
        later = (NEWEST + timedelta(minutes=30)).isoformat()
        dataset["events"][4].update(name="Moved", updatedOn=later)
        for row in [row for row in dataset["checkins"] if row["deleted"] is False][:3]:
            row.update(deleted=True, updatedOn=later)
        write_jsonl(sync(settings_for(service), *STREAMS, state=first.states[-1]).text, output)

    source = {stream: dataset[stream] for stream in STREAMS}
    expected = {key: counts for key, (*counts, _) in attendance.by_event(source).items()}
    assert expected != {key: counts for key, (*counts, _) in attendance.by_event(before).items()}
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as connection:
        for script in SCRIPTS:
            connection.execute(documents.read(script))
        for table in ("attendance", "'output/campusgroups/attendance.parquet'"):
            rows = connection.execute(
                f"SELECT event_id, week, rsvps, going, checkins, attendees FROM {table}"  # noqa: S608
            ).fetchall()
            assert {key: counts for key, *counts in rows} == expected
        lines = connection.execute(
            "SELECT count(*), count(DISTINCT id) FROM checkins_lines"
        ).fetchone()
    assert lines is not None
    assert lines[0] > lines[1] == len(dataset["checkins"])
