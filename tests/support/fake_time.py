"""Time for tests of waiting: it passes only when something waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Event


class FakeTime:
    """A clock that every wait moves on at once.

    Attributes:
        slept: The waits, in seconds.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 1000.0

    def monotonic(self) -> float:
        """Return the time, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock on without a wait."""
        self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Add a wait and move the clock on."""
        self.slept.append(round(seconds, 6))
        self.advance(seconds)

    def wait(self, event: Event, seconds: float) -> bool:
        """Move the clock on unless the event has happened."""
        if not event.is_set():
            self.sleep(seconds)
        return event.is_set()
