"""Fixtures that most tests use."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from dotenv.main import DotEnv
from hypothesis import HealthCheck, settings

from tap_campusgroups.exports import scheduler
from tap_campusgroups.shutdown import SHUTDOWN
from tests.simulator import Dataset, Simulator
from tests.support.fake_time import FakeTime
from tests.support.harness import NEWEST, settings_for
from tests.support.pipeline import PROJECT, link_sdk
from tests.support.postgres import DSN_VARIABLE
from tests.support.tls import Certificates, create_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = (
    "TAP_CAMPUSGROUPS_",
    "SINGER_SDK_",
    "LOGLEVEL",
    "LOGGING_CONF_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)

# The same examples in every run, without a time limit.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


# The longest first: a worker takes whole files, and would run one of these alone at the end.
LONG_FILES = (
    *("test_isolation", "test_orchestration", "test_stream_groups", "test_nightly"),
    *("test_deleted_rows", "test_user_columns", "test_postgres_pipeline", "test_two_schools"),
    *("test_page_converter", "test_interruptions", "test_hub", "test_storms", "test_plain_pipe"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files by their duration; `--random-order` shuffles them after that."""
    rank = {name: number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(autouse=True)
def _restore_signal_handlers() -> Iterator[None]:
    """Restore the handlers that a test replaces, and forget its signal."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    finish_report = SHUTDOWN.finish_report
    yield
    SHUTDOWN.finish_report = finish_report
    for number, handler in before.items():
        signal.signal(number, handler)
    SHUTDOWN.signal = None


@pytest.fixture(scope="session", autouse=True)
def _no_user_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remove the user's settings, proxies and certificates from the environment.

    For this process and the taps that tests start. Meltano runs in a `pipeline.Workspace`.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            is_setting = name.startswith(SETTINGS) and name != DSN_VARIABLE
            if is_setting or name.lower().endswith("_proxy"):
                patch.delenv(name)
        # `--config ENV` must not find the user's `.env`. SDK 0.55 looks in the current folder and
        # above, SDK 0.54 above its own folder: in other processes and in this one.
        folder = link_sdk(tmp_path_factory.mktemp("python"))
        # The tap of this checkout, even if the environment has another one installed.
        (folder / "tap_campusgroups").symlink_to(PROJECT / "tap_campusgroups")
        patch.chdir(tmp_path_factory.mktemp("current"))
        patch.setenv("PYTHONPATH", str(folder))
        patch.setattr(DotEnv, "set_as_environment_variables", lambda _: False)
        yield


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A service with 5 rows per stream."""
    with Simulator(Dataset(5, newest=NEWEST)) as simulator:
        yield simulator


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of a private certificate authority for servers on localhost."""
    return create_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def config(simulator: Simulator) -> dict[str, Any]:
    """Settings for the service."""
    return settings_for(simulator)


@pytest.fixture
def local_time_of_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the machine a local time other than UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """Replace time and chance: waits pass at once, and random numbers are 0."""
    fake = FakeTime()
    monkeypatch.setattr(scheduler, "wait", fake.wait)
    monkeypatch.setattr(time, "monotonic", fake.monotonic)
    monkeypatch.setattr(random, "random", lambda: 0.0)
    return fake


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten every wait of the tap to 2 ms."""
    monkeypatch.setattr(scheduler, "wait", lambda event, _seconds: event.wait(0.002))
