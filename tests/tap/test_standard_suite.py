"""The SDK's standard tests of a tap, against the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from singer_sdk.testing.runners import TapTestRunner

from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, Simulator
from tests.simulator.dataset import tap_schemas
from tests.support.harness import NEWEST, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

# Created before the simulator runs, so the fixture below replaces its runner.
_Suite: Any = get_tap_test_class(
    TapCampusGroups,
    config={"api_secret": "none", "school_code": "none", "api_version": "1.1"},
    parse_env_config=False,
)


class TestTapCampusGroups(_Suite):  # type: ignore[misc] # the SDK makes the class at run time
    """Discovery, connection, final state, and each stream's schema and records."""

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[TapTestRunner]:
        """Sync once for all tests."""
        dataset = Dataset(120, newest=NEWEST, schemas=tap_schemas("1.1"))
        for stream in dataset.streams:
            for row in dataset[stream]:
                row["notInTheSchema"] = 1  # for the tests of `_extra`
        with Simulator(dataset) as simulator:
            runner = TapTestRunner(
                TapCampusGroups,
                config=settings_for(simulator, page_size=50, api_version="1.1"),
                suite_config=SuiteConfig(max_records_limit=110),
            )
            runner.sync_all()
            yield runner

    @pytest.mark.parametrize("name", sorted(tap_schemas("1.1")))
    def test_primary_keys_are_unique(self, runner: TapTestRunner, name: str) -> None:
        """The SDK's test of primary keys passes with duplicates."""
        keys = [record["id"] for record in runner.records[name]]
        assert len(keys) == 110
        assert len(set(keys)) == len(keys)
        assert None not in keys
