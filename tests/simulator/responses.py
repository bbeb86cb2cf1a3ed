"""Responses of the simulator: complete ones, and connections that fail on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from .dataset import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JSON = "application/json"


class Connection(Protocol):
    """One client's connection, as a response sees it."""

    def format_head(self, status: int, headers: Mapping[str, str]) -> bytes:
        """Return the status line and the headers, including the blank line after them."""

    def send(self, head: bytes, body: bytes) -> None:
        """Send head and body together; omit the body for a HEAD request."""

    def close(self) -> None:
        """Close the connection after what was sent."""

    def reset(self) -> None:
        """Close the connection with a TCP RST and drop unsent bytes."""

    def hold(self) -> bool:
        """Wait until the simulator releases the request; return False if it is closing."""

    def pause(self, seconds: float) -> bool:
        """Wait; return False immediately if the simulator is closing."""


class Response(Protocol):
    """A response; `status` is None if no status line is sent."""

    @property
    def status(self) -> int | None:
        """The HTTP status that the client sees."""

    def send(self, connection: Connection) -> None:
        """Send the response."""


@dataclass(frozen=True)
class CompleteResponse:
    """Status, body and headers.

    Attributes:
        length: Content-Length, if it is not that of the body; the connection then closes.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": JSON})
    length: str | None = None

    def send(self, connection: Connection) -> None:
        """Send everything."""
        length = str(len(self.body)) if self.length is None else self.length
        headers = {**self.headers, "Content-Length": length}
        connection.send(connection.format_head(self.status, headers), self.body)
        if self.length is not None:
            connection.close()


@dataclass(frozen=True)
class DroppedConnection:
    """A TCP RST before the first byte."""

    status: None = None

    def send(self, connection: Connection) -> None:
        """Reset the connection."""
        connection.reset()


@dataclass(frozen=True)
class TruncatedResponse:
    """The headers of a response and the first `kept` bytes of its body."""

    complete: CompleteResponse
    kept: int
    chunked: bool = False

    @property
    def status(self) -> int:
        """The HTTP status that the client sees."""
        return self.complete.status

    def send(self, connection: Connection) -> None:
        """Send the part and close the connection."""
        body = self.complete.body
        headers = dict(self.complete.headers)
        part = body[: self.kept]
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
            part = f"{len(body):x}\r\n".encode() + part
        else:
            headers["Content-Length"] = str(max(len(body), self.kept + 1))
        connection.send(connection.format_head(self.status, headers), part)
        connection.close()


@dataclass(frozen=True)
class HeldResponse:
    """Nothing until the simulator releases the request, then the response."""

    create: Callable[[], CompleteResponse]
    status: None = None

    def send(self, connection: Connection) -> None:
        """Wait, then respond; reset the connection if the simulator is closing."""
        if connection.hold():
            self.create().send(connection)
        else:
            connection.reset()


@dataclass(frozen=True)
class DelayedResponse:
    """A response that is sent after some seconds."""

    response: Response
    seconds: float

    @property
    def status(self) -> int | None:
        """The HTTP status that the client sees."""
        return self.response.status

    def send(self, connection: Connection) -> None:
        """Wait, then respond; reset the connection if the simulator is closing."""
        if connection.pause(self.seconds):
            self.response.send(connection)
        else:
            connection.reset()


def json_response(
    status: int, value: object, headers: Mapping[str, str] | None = None
) -> CompleteResponse:
    """Return a response with a JSON body."""
    return CompleteResponse(status, encode(value), {"Content-Type": JSON, **(headers or {})})


def message_response(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> CompleteResponse:
    """Return a response with the service's usual body, {"message": ...}."""
    return json_response(status, {"message": message}, headers)


# Wording of specification 1.1, responses of POST and GET.
QUEUED = message_response(HTTPStatus.CREATED, "Query is queued and waiting to be executed")
RUNNING = message_response(HTTPStatus.ACCEPTED, "Accepted query and is running")
UNAUTHORIZED = message_response(
    HTTPStatus.UNAUTHORIZED, "Error validating API key from API endpoint"
)
CANCELLED = message_response(HTTPStatus.GONE, "Query execution was cancelled")
FAILED = message_response(HTTPStatus.INTERNAL_SERVER_ERROR, "Query execution failed")
