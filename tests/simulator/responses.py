"""What may go back over the wire: a whole answer, or a connection that ends badly."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from .dataset import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JSON = "application/json"


class Connection(Protocol):
    """One client's connection, as an outcome sees it."""

    def format_head(self, status: int, headers: Mapping[str, str]) -> bytes:
        """Return the status line and the headers, the blank line included."""

    def send(self, head: bytes, body: bytes) -> None:
        """Send both at once, the body only if the request's method wants one."""

    def close(self) -> None:
        """Close the connection in good order after what was sent."""

    def reset(self) -> None:
        """Close the connection with a TCP RST, dropping what was not sent."""

    def hold(self) -> bool:
        """Wait until the simulator releases the request; False if it is closing instead."""

    def pause(self, seconds: float) -> bool:
        """Wait so long; False, at once, if the simulator is closing."""


class Response(Protocol):
    """What becomes of a request; `status` is None when no status line is sent."""

    @property
    def status(self) -> int | None:
        """The HTTP status that the client sees."""

    def send(self, wire: Connection) -> None:
        """Put the outcome on the wire."""


@dataclass(frozen=True)
class CompleteResponse:
    """A whole HTTP answer: status, body in bytes and headers beside Content-Length."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": JSON})

    def send(self, wire: Connection) -> None:
        """Send it, with its true length."""
        headers = {**self.headers, "Content-Length": str(len(self.body))}
        wire.send(wire.format_head(self.status, headers), self.body)


@dataclass(frozen=True)
class DroppedConnection:
    """A TCP RST before any byte of an answer."""

    status: None = None

    def send(self, wire: Connection) -> None:
        """Reset the connection."""
        wire.reset()


@dataclass(frozen=True)
class TruncatedResponse:
    """The first `kept` bytes of an answer's body under the headers of all of it, then the end."""

    answer: CompleteResponse
    kept: int
    chunked: bool = False

    @property
    def status(self) -> int:
        """The HTTP status that the client sees."""
        return self.answer.status

    def send(self, wire: Connection) -> None:
        """Send the part and close the connection."""
        body = self.answer.body
        headers = dict(self.answer.headers)
        part = body[: self.kept]
        if self.chunked:
            headers["Transfer-Encoding"] = "chunked"
            part = f"{len(body):x}\r\n".encode() + part
        else:
            headers["Content-Length"] = str(max(len(body), self.kept + 1))
        wire.send(wire.format_head(self.status, headers), part)
        wire.close()


@dataclass(frozen=True)
class HeldResponse:
    """Nothing until the simulator releases the request, then the answer."""

    answer: Callable[[], CompleteResponse]
    status: None = None

    def send(self, wire: Connection) -> None:
        """Wait, then answer, or reset the connection if the simulator is closing."""
        if wire.hold():
            self.answer().send(wire)
        else:
            wire.reset()


@dataclass(frozen=True)
class DelayedResponse:
    """An outcome that is on its way for some seconds."""

    outcome: Response
    seconds: float

    @property
    def status(self) -> int | None:
        """The HTTP status that the client sees."""
        return self.outcome.status

    def send(self, wire: Connection) -> None:
        """Wait, then send it, or reset the connection if the simulator is closing."""
        if wire.pause(self.seconds):
            self.outcome.send(wire)
        else:
            wire.reset()


def json_response(
    status: int, value: object, headers: Mapping[str, str] | None = None
) -> CompleteResponse:
    """Return an answer with a JSON value as its body."""
    return CompleteResponse(status, encode(value), {"Content-Type": JSON, **(headers or {})})


def message_response(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> CompleteResponse:
    """Return an answer of the service's usual shape, {"message": ...}."""
    return json_response(status, {"message": message}, headers)


# The wordings of specification 1.1, responses of POST and GET.
QUEUED = message_response(HTTPStatus.CREATED, "Query is queued and waiting to be executed")
RUNNING = message_response(HTTPStatus.ACCEPTED, "Accepted query and is running")
UNAUTHORIZED = message_response(
    HTTPStatus.UNAUTHORIZED, "Error validating API key from API endpoint"
)
CANCELLED = message_response(HTTPStatus.GONE, "Query execution was cancelled")
FAILED = message_response(HTTPStatus.INTERNAL_SERVER_ERROR, "Query execution failed")
