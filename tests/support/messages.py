"""Parts of the tap's log lines and errors that several test modules look for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ABANDONED = "Export abandoned: "
CHECK_SECRET = "Check api_secret and school_code"  # noqa: S105 - not a secret
CONNECTION_TEST = "Connection test: "
DENIED = "the service denied access (HTTP "
NO_STREAM_SELECTED = "No stream is selected: --catalog "
OUTPUT_CLOSED = "Output pipe closed: the target exited early."
OUTPUT_FAILED = "Cannot write the output: "
ROWS_STAY = "deleted rows stay in the target, because "
STREAM_BEGINS = "Beginning sync of '"
SUMMARY = "Summary: "


def summary(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the last summary."""
    texts = [record.getMessage() for record in caplog.records]
    return next(text for text in reversed(texts) if SUMMARY in text).splitlines()


def stopped_by(signal_name: str) -> str:
    """Return the last line of a run that a signal has ended."""
    return f"Stopped by {signal_name}. The next run resumes from the last saved state."


def connection_test_started(count: int, of: int) -> str:
    """Return the connection test's line about the catalog's selection."""
    return f"Connection test started: streams={count} of={of} selection="
