"""The checks that Meltano offers: `meltano config test`, and `--test` through `meltano invoke`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.config import CONFIG
from tests.simulator import Dataset, Hang, Simulator
from tests.support.pipeline import TAP, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.pipeline import Finished

CONFIG_TEST = ("config", "test", TAP)
INVOKE_TEST = ("invoke", TAP, "--test")
STREAMS = sorted(Dataset(0, newest=datetime.now(UTC)).streams)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """The rows of a service that is a day behind, as the vendor's is."""
    newest = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    made = Dataset(300, newest=newest)
    made.freeze()
    return made


@pytest.fixture
def service(dataset: Dataset) -> Iterator[Simulator]:
    """The service."""
    with Simulator(dataset) as simulator:
        yield simulator


def hold_all_but_the_first(service: Simulator) -> None:
    """Answer for the first stream only, however late Meltano ends the tap after a record."""
    for stream in STREAMS[1:]:
        service.inject(Hang().on(stream, times=None))


def meltano(
    service: Simulator, home: Path, arguments: tuple[str, ...], more: Mapping[str, str]
) -> Finished:
    """Run a command of Meltano in this project."""
    return Workspace(home, service=service).meltano(*arguments, variables=more)


def test_config_test_ends_with_the_first_record(service: Simulator, tmp_path: Path) -> None:
    """As the README has it: a few days only, one export at a time."""
    recent = datetime.now(UTC) - timedelta(days=3)
    hold_all_but_the_first(service)
    finished = meltano(
        service,
        tmp_path,
        CONFIG_TEST,
        {
            "TAP_CAMPUSGROUPS_START_DATE": f"{recent:%Y-%m-%d}",
            "TAP_CAMPUSGROUPS_MAX_CONCURRENT_EXPORTS": "1",
        },
    )
    assert finished.code == 0, finished.output
    assert "Plugin configuration is valid" in finished.output
    posted = [one for one in service.requests if one.method == "POST"]
    # The tap may ask for the second stream before Meltano ends it, but for no other beside that.
    assert [one.stream for one in posted] in (STREAMS[:1], STREAMS[:2])
    assert posted[0].query["updatedStart"].startswith(f"{recent:%Y-%m-%d}")


def test_config_test_without_more_submits_no_more_than_the_cap(
    service: Simulator, tmp_path: Path
) -> None:
    hold_all_but_the_first(service)
    finished = meltano(service, tmp_path, CONFIG_TEST, {})
    assert finished.code == 0, finished.output
    # What is submitted ahead while the first record is on its way; never all 23.
    asked = {one.stream for one in service.requests}
    assert len(asked) <= 1 + CONFIG["properties"]["max_concurrent_exports"]["default"]


@pytest.mark.parametrize("arguments", [CONFIG_TEST, INVOKE_TEST], ids=["config", "invoke"])
def test_a_wrong_secret_is_told_after_one_request(
    service: Simulator, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    wrong = {"TAP_CAMPUSGROUPS_API_SECRET": "no-such-secret-8e2f"}
    finished = meltano(service, tmp_path, arguments, wrong)
    assert finished.code != 0
    assert "the service refuses access (HTTP 401" in finished.output
    assert "Check api_secret and school_code" in finished.output
    assert "no-such-secret-8e2f" not in finished.output
    assert len(service.requests) == 1


def test_invoke_tells_which_streams_may_be_read(service: Simulator, tmp_path: Path) -> None:
    finished = meltano(service, tmp_path, INVOKE_TEST, {})
    assert finished.code == 0, finished.output
    assert "Check: the secret may read 23 of 23 streams" in finished.output
