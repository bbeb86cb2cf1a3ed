"""The streams of each version of the API, and schools with another version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tap_campusgroups.exceptions import SettingsError, StreamsFailedError
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, Simulator
from tests.simulator.dataset import ADDED_STREAMS, tap_schemas
from tests.support.harness import NEWEST, settings_for, sync

ROWS = 3
ADDED = ADDED_STREAMS["1.1"]


@pytest.mark.parametrize("config", [{}, {"api_version": "1.0"}])
def test_default_version_has_the_streams_of_1_0(config: dict[str, Any]) -> None:
    assert set(TapCampusGroups(config=config, validate_config=False).streams) == set(
        tap_schemas("1.1")
    ) - set(ADDED)


@pytest.mark.parametrize(("version", "count"), [("1.0", 23), ("1.1", 27)])
def test_sync_of_each_version_emits_every_row(version: str, count: int) -> None:
    dataset = Dataset(ROWS, newest=NEWEST, schemas=tap_schemas("1.1"))
    with Simulator(dataset) as simulator:
        output = sync(settings_for(simulator, api_version=version))
        after = sync(settings_for(simulator), state=output.states[-1])
    assert output.error is None
    assert len(output.records) == len(output.bookmarks) == count
    for stream, records in output.records.items():
        assert sorted(record["id"] for record in records) == [1, 2, 3], stream
    assert after.error is None
    assert after.bookmarks == output.bookmarks  # also of streams outside its version


def test_school_without_added_streams_fails_in_these_only() -> None:
    with Simulator(Dataset(ROWS, newest=NEWEST)) as simulator:
        output = sync(settings_for(simulator, api_version="1.1"))
    assert isinstance(output.error, StreamsFailedError)
    assert str(output.error).startswith("4 of 27 streams failed: ")
    assert all(stream in str(output.error) for stream in ADDED)
    assert set(output.records) == set(tap_schemas())


def test_discovery_with_unknown_version_fails() -> None:
    with pytest.raises(SettingsError, match=r'api_version must be "1\.0" or "1\.1"'):
        TapCampusGroups(config=json.loads('{"api_version": 1.1}'), validate_config=False)
