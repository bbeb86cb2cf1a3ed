"""When each step of the last run ran, as bars: `python -m examples.dagster.timeline`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dagster import DagsterEventType, DagsterInstance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dagster_shared.error import SerializableErrorInfo

_WIDTH: Final = 40
_BEGINNINGS: Final = {DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED}
_ENDS: Final = {
    DagsterEventType.STEP_SUCCESS: "done",
    DagsterEventType.STEP_FAILURE: "failed",
    DagsterEventType.STEP_UP_FOR_RETRY: "again later",
}


@dataclass(frozen=True)
class Attempt:
    """One try at a step.

    Attributes:
        step: Its key.
        began: When it began, in seconds since the epoch.
        ended: When it ended, likewise.
        result: How it ended.
        reason: Why, if it did not succeed.
        worker: Which of the workers had it, from 0.
    """

    step: str
    began: float
    ended: float
    result: str
    reason: str
    worker: int


def attempts(instance: DagsterInstance, run_id: str) -> list[Attempt]:
    """List the tries of a run in the order of their beginnings."""
    began: dict[str, tuple[float, int]] = {}
    found = []
    for record in instance.all_logs(run_id):
        event = record.dagster_event
        if event is None or event.step_key is None:
            continue
        if event.event_type in _BEGINNINGS:
            busy = {worker for _, worker in began.values()}
            free = min(set(range(len(busy) + 1)) - busy)
            began[event.step_key] = record.timestamp, free
        elif event.event_type in _ENDS:
            start, worker = began.pop(event.step_key)
            reason = _reason(getattr(event.event_specific_data, "error", None))
            found.append(
                Attempt(
                    event.step_key,
                    start,
                    record.timestamp,
                    _ENDS[event.event_type],
                    reason,
                    worker,
                )
            )
    return sorted(found, key=lambda attempt: attempt.began)


def _reason(error: SerializableErrorInfo | None) -> str:
    """Say why a try failed: what the step said, without the traceback."""
    while error is not None and error.cause is not None:
        error = error.cause  # a try that is to be repeated fails with a request for that
    if error is None:
        return ""
    name, _, text = error.message.partition(": ")
    return (text if name.endswith("Failure") else error.message).strip()


def bars(found: Iterable[Attempt]) -> Iterator[str]:
    """Draw tries as bars."""
    found = list(found)
    if not found:
        return
    zero = min(attempt.began for attempt in found)
    scale = _WIDTH / max(max(attempt.ended for attempt in found) - zero, 0.001)
    width = max(len(attempt.step) for attempt in found)
    for attempt in found:
        left = round((attempt.began - zero) * scale)
        length = max(1, round((attempt.ended - attempt.began) * scale))
        bar = f"{'·' * left}{'█' * length}".ljust(_WIDTH, "·")
        yield (
            f"worker {attempt.worker + 1}  {attempt.step:{width}}  {bar[:_WIDTH]}"
            f"  {attempt.began - zero:5.1f} to {attempt.ended - zero:5.1f} s  {attempt.result}"
        )
        if attempt.reason:
            yield f"          {attempt.reason}"


def main() -> int:
    """Show the last run of the instance of DAGSTER_HOME; return the exit code."""
    with DagsterInstance.get() as instance:
        records = instance.get_run_records(limit=1)
        for record in records:
            for line in bars(attempts(instance, record.dagster_run.run_id)):
                print(line)  # noqa: T201 - the command's output
    return 0 if records else 1


if __name__ == "__main__":
    sys.exit(main())
