"""What can go wrong, each as one line for the person at the terminal.

Every message names the stream where there is one and says what to do. None carries a response
body, a header or a record: those may hold the secret or a student's data.
"""

from __future__ import annotations

from singer_sdk.exceptions import FatalAPIError, SingerSDKError


class CampusGroupsError(SingerSDKError):
    """Base of the tap's own errors; the command line shows the text in one line, exit code 1."""


class SettingsError(CampusGroupsError):
    """A setting is missing, unknown or out of bounds; raised before the first request."""


class InputError(CampusGroupsError):
    """The state or the catalog handed to the tap cannot be used."""


class AccessDeniedError(CampusGroupsError, FatalAPIError):
    """The service refuses the secret or the school (401 or 403).

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, message: str, *, status: int) -> None:
        """Keep the status.

        Args:
            message: One line.
            status: The HTTP status.
        """
        super().__init__(message)
        self.status = status


class ExportFailedError(CampusGroupsError, FatalAPIError):
    """An export came to an end without all of its pages."""


class ExportTimeoutError(ExportFailedError):
    """An export was still queued or running after `export_timeout_minutes`.

    Attributes:
        is_running: Whether it was running.
    """

    def __init__(self, message: str, *, is_running: bool) -> None:
        """Keep what the export was doing."""
        super().__init__(message)
        self.is_running = is_running


class ServiceUnavailableError(CampusGroupsError, FatalAPIError):
    """A request failed on its way at every try: no connection, 429, 5xx, or no JSON."""


class OutputError(CampusGroupsError):
    """The target does not take the output."""


class RunAborted(SystemExit):
    """Ends the sync of all streams from inside one of them.

    Not an `Exception`: the SDK reports each of those as unhandled.

    Attributes:
        reason: Why; raised once the workers have ended.
    """

    def __init__(self, reason: CampusGroupsError) -> None:
        """Keep why."""
        super().__init__(1)
        self.reason = reason


class FutureBookmarkError(CampusGroupsError):
    """A bookmark is later than the service's clock: what it stands for cannot have been read."""


class UnexpectedError(CampusGroupsError):
    """A bug of the tap ended a stream."""


class StreamMapError(CampusGroupsError):
    """A stream map of the user's cannot be evaluated for a row."""


class RowsMissingError(CampusGroupsError):
    """Not every row that came was emitted."""


class StreamsFailedError(CampusGroupsError):
    """The run came to its end without some of the streams."""


class ConnectionTestError(CampusGroupsError):
    """`--test` found streams that cannot be read."""


class ExportsStoppedError(CampusGroupsError):
    """The run is broken off; whoever works for it ends with this."""


class UnknownFieldError(CampusGroupsError):
    """A row has a field that the schema does not have, and `unknown_fields` is `fail`."""


def output_error(error: Exception) -> OutputError:
    """Explain why a write failed, in one line.

    Args:
        error: What the write raised: OSError, or AttributeError if there is no `sys.stdout`.
    """
    if isinstance(error, BrokenPipeError):
        return OutputError(
            "Output pipe closed: the target exited early. Check the target's log; the next run "
            "resumes from the last saved state."
        )
    reason = error.strerror if isinstance(error, OSError) else "standard output is closed"
    return OutputError(
        f"Cannot write the output: {reason}. Check where the output goes; the next run resumes "
        "from the last saved state."
    )
