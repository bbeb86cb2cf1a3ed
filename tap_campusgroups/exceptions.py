"""The tap's errors: one line each, without response bodies, headers or records."""

from __future__ import annotations

from singer_sdk.exceptions import FatalAPIError, SingerSDKError


class CampusGroupsError(SingerSDKError):
    """Base class; the command line logs the message and exits with code 1."""


class SettingsError(CampusGroupsError):
    """A setting is missing, unknown or invalid."""


class InputError(CampusGroupsError):
    """The catalog or the state is invalid."""


class AccessDeniedError(CampusGroupsError, FatalAPIError):
    """The service rejects the secret or the school (401 or 403)."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ExportFailedError(CampusGroupsError, FatalAPIError):
    """An export ended before all of its pages were read."""


class ExportTimeoutError(ExportFailedError):
    """An export was still queued or running after `export_timeout_minutes`."""

    def __init__(self, message: str, *, is_running: bool) -> None:
        super().__init__(message)
        self.is_running = is_running


class ServiceUnavailableError(CampusGroupsError, FatalAPIError):
    """All attempts of a request failed: no connection, 429, 5xx or invalid JSON."""


class ConnectionSetupError(ServiceUnavailableError):
    """No connection is possible before something is corrected: a certificate, a proxy, the URL."""


class StreamError(CampusGroupsError):
    """The rows, the bookmark or the stream map of a stream, or a bug in the tap, ends it."""


class StreamsFailedError(CampusGroupsError):
    """More than one stream failed, or `--test` found streams that cannot be read."""


class ExportsStoppedError(CampusGroupsError):
    """The run is ending, and with it all exports."""


class OutputError(CampusGroupsError):
    """Standard output cannot be written."""


class RunAborted(SystemExit):
    """Ends the sync of all streams from inside one of them.

    Not an `Exception`, because the SDK logs those as unhandled.
    """

    def __init__(self, reason: CampusGroupsError) -> None:
        super().__init__(1)
        self.reason = reason


def output_error(error: Exception) -> OutputError:
    """Return the error for a failed write; without `sys.stdout`, that is an AttributeError."""
    message = "Output pipe closed: the target exited early. Check the target's log"
    if not isinstance(error, BrokenPipeError):
        is_closed = isinstance(error, AttributeError | ValueError)
        kind = "standard output is closed" if is_closed else type(error).__name__
        reason = getattr(error, "strerror", None) or kind
        message = f"Cannot write the output: {reason}. Check where the output goes"
    message += "; the next run resumes from the last saved state."
    return OutputError(message)
