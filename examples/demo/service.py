"""What the simulated service of the demo holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from tests.simulator import Dataset, Simulator

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAG: Final = timedelta(days=1)  # the vendor's data lake is that far behind
_USUAL_ROWS: Final = 200
_NOT_GOING: Final = 5  # one answer of so many
_MORE_ROWS: Final = {
    "checkins": 3_000,
    "events": 600,
    "members": 1_500,
    "payments": 800,
    "rsvp": 5_000,
    "users": 2_500,
}


def start_service(rows: Mapping[str, int] | None = None) -> Simulator:
    """Start the service: some exports are queued and running for a moment first.

    Args:
        rows: How many rows it has, by stream; the demo's own numbers if not given.
    """
    newest = (datetime.now(UTC) - _LAG).replace(microsecond=0)
    streams = Dataset(0, newest=newest).streams
    dataset = Dataset(rows or dict.fromkeys(streams, _USUAL_ROWS) | _MORE_ROWS, newest=newest)
    # Most who answer mean to come, or the show-up rates would look odd.
    for number, row in enumerate(dataset["rsvp"]):
        row["rsvp"] = "yes" if number % _NOT_GOING else "no"
    return Simulator(
        dataset,
        queued_seconds={"checkins": 0.3, "events": 0.3},
        running_seconds={"checkins": 0.7, "events": 0.3, "users": 0.7},
    )


def row_counts(dataset: Dataset) -> dict[str, int]:
    """Count the rows of every stream as they are now."""
    return {stream: len(dataset[stream]) for stream in dataset.streams}


def let_a_day_pass(dataset: Dataset) -> str:
    """Add three check-ins and change an event; return what was done."""
    updated = f"{dataset.newest + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}"
    checkins = dataset["checkins"]
    for number in range(len(checkins) + 1, len(checkins) + 4):
        checkins.append({**dataset.row("checkins", number), "updatedOn": updated})
    dataset["events"][0].update(name="Graduation", updatedOn=updated)
    return "3 check-ins are new, 1 event has another name"
