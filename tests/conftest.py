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
from tests.support.harness import NEWEST, settings_for
from tests.support.pipeline import PROJECT, link_sdk
from tests.support.postgres import DSN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

SETTINGS = ("TAP_CAMPUSGROUPS_", "SINGER_SDK_", "LOGLEVEL", "LOGGING_CONF_FILE")

# The same examples in every run, and no limit on how long they take.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Put the signal handlers back that a tap in this process replaces, and forget its signal."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    SHUTDOWN.signal = None


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tester's own settings and proxies out, of the fixtures of modules too.

    Of this process, and of the taps that tests start; for Meltano there is `pipeline.Workspace`.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            is_setting = name.startswith(SETTINGS) and name != DSN_VARIABLE
            if is_setting or name.lower().endswith("_proxy"):
                patch.delenv(name)
        # The same for `--config ENV` in a process of its own, and in this one.
        folder = link_sdk(tmp_path_factory.mktemp("python"))
        # The tap of this checkout, also where the environment has another one installed.
        (folder / "tap_campusgroups").symlink_to(PROJECT / "tap_campusgroups")
        patch.setenv("PYTHONPATH", str(folder))
        patch.setattr(DotEnv, "set_as_environment_variables", lambda _: False)
        yield


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """The service, with 5 rows a stream."""
    with Simulator(Dataset(5, newest=NEWEST)) as simulator:
        yield simulator


@pytest.fixture
def config(simulator: Simulator) -> dict[str, Any]:
    """Settings for the service."""
    return settings_for(simulator)


@pytest.fixture
def local_time_of_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the machine's local time to another one than UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
        time.tzset()
        yield
    time.tzset()


class FakeTime:
    """Time in which nobody waits: a sleep is noted and moves the clock.

    Attributes:
        slept: Seconds of each sleep.
    """

    def __init__(self) -> None:
        """Start somewhere."""
        self.slept: list[float] = []
        self._now = 1000.0

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(round(seconds, 6))
        self._now += seconds

    def wait(self, event: Event, seconds: float) -> bool:
        """Let time pass, unless the event has happened."""
        if not event.is_set():
            self.sleep(seconds)
        return event.is_set()


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """Take over time and chance: every random number is the least."""
    fake = FakeTime()
    monkeypatch.setattr(scheduler, "wait", fake.wait)
    monkeypatch.setattr(time, "monotonic", fake.monotonic)
    monkeypatch.setattr(random, "random", lambda: 0.0)
    return fake


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that waits ask again at once."""
    monkeypatch.setattr(scheduler, "wait", lambda event, _seconds: event.wait(0.002))
