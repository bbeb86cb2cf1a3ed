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
    """An export was still queued or running after `export_timeout_minutes`."""


class ServiceUnavailableError(CampusGroupsError, FatalAPIError):
    """A request failed on its way at every try: no connection, 429, 5xx, or no JSON."""


class StreamMapError(CampusGroupsError):
    """A stream map of the user's cannot be evaluated for a row."""


class RowsMissingError(CampusGroupsError):
    """Not every row that came was emitted."""


class StreamsFailedError(CampusGroupsError):
    """The run came to its end without some of the streams."""


class CheckFailedError(CampusGroupsError):
    """`--test` found streams that cannot be read."""


class ExportsStoppedError(CampusGroupsError):
    """The run is broken off; whoever works for it ends with this."""


class UnknownFieldError(CampusGroupsError):
    """A row has a field that the schema does not have, and `unknown_fields` is `fail`."""
