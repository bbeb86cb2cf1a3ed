"""Sentinels in everything that the service sends, and the search for them in what is logged."""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from singer_sdk.logging import ConsoleFormatter, StructuredFormatter

from tests.simulator import FaultType
from tests.simulator.responses import CompleteResponse, TruncatedResponse
from tests.support.fault_cases import PERSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Connection, Response

SECRET = "7f3a-sentinel-secret"  # noqa: S105 - the sentinel
NAME = "Zoe Sentinelova"
MARK = "sentinel"
"""Part of the secret, the address and the name."""

SENTINELS = f"{PERSON} ({NAME}), key {SECRET}"


def with_sentinels(value: Any) -> Any:
    """Return a JSON value with the sentinels in it and the same meaning."""
    match value:
        case dict():
            if isinstance(value.get("message"), str):
                value = value | {"message": f"{value['message']}: {SENTINELS}"}
            return value | {PERSON: SENTINELS, NAME: {SECRET: SENTINELS}}
        case list():
            return [*value, SENTINELS]
    return value


def add_sentinels(response: CompleteResponse) -> CompleteResponse:
    """Return a response with the sentinels in its body."""
    try:
        body = json.dumps(with_sentinels(json.loads(response.body))).encode()
    except (ValueError, RecursionError):
        body = response.body + SENTINELS.encode()
    return replace(response, body=body)


@dataclass(frozen=True)
class LeakyConnection:
    """A connection that adds the sentinels to the head of every response."""

    connection: Connection
    headers: Mapping[str, str]

    def format_head(self, status: int, headers: Mapping[str, str]) -> bytes:
        """Return the head with more headers and a longer reason phrase."""
        head = self.connection.format_head(status, {**self.headers, **headers})
        line, _, rest = head.partition(b"\r\n")
        return line + f" {SENTINELS}".encode() + b"\r\n" + rest

    def __getattr__(self, name: str) -> Any:
        """Return a method of the connection."""
        return getattr(self.connection, name)


@dataclass(frozen=True)
class LeakyResponse:
    """A response over a leaky connection."""

    response: Response
    headers: Mapping[str, str]

    @property
    def status(self) -> int | None:
        """The HTTP status that the client sees."""
        return self.response.status

    def send(self, connection: Connection) -> None:
        """Send the response over a leaky connection."""
        self.response.send(cast("Connection", LeakyConnection(connection, self.headers)))


HEADERS = {
    "X-Debug": SENTINELS,
    "X-Echo-Secret": SECRET,
    "Set-Cookie": f"user={PERSON}; expires={NAME}",
    "ETag": f'"{PERSON}"',
    "Retry-After": NAME,
}


@dataclass(frozen=True)
class LeakyFault(FaultType):
    """A fault type with the sentinels in everything that it sends."""

    fault_type: FaultType
    retry_after: str = NAME

    def applies(self, context: RequestContext) -> bool:
        """Apply to the same requests as the fault type."""
        return self.fault_type.applies(context)

    def respond(self, context: RequestContext) -> Response:
        """Respond like the fault type, with the sentinels."""
        response = self.fault_type.respond(context)
        if context.query is not None and context.query.failure is not None:
            context.query.fail(add_sentinels(context.query.failure))
        if isinstance(response, CompleteResponse):
            response = add_sentinels(response)
        elif isinstance(response, TruncatedResponse):
            response = replace(response, complete=add_sentinels(response.complete))
        return LeakyResponse(response, HEADERS | {"Retry-After": self.retry_after})


class LogLines(logging.Handler):
    """Collects what is logged, in the format for people and as JSON.

    Attributes:
        lines: The lines.
        errors: The exceptions among the arguments of log calls.
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record in both formats."""
        for formatter in (ConsoleFormatter(), StructuredFormatter()):
            self.lines += formatter.format(record).splitlines()
        arguments = record.args if isinstance(record.args, tuple) else ()
        self.errors += [one for one in arguments if isinstance(one, BaseException)]


def texts_of(error: BaseException) -> list[str]:
    """Return every text of an exception, its notes, its arguments and its causes."""
    texts = traceback.format_exception(error)
    seen: list[BaseException] = []
    left: list[object] = [error]
    while left:
        one = left.pop()
        if isinstance(one, BaseException) and not any(one is other for other in seen):
            seen.append(one)
            texts += [str(one), repr(one), *getattr(one, "__notes__", ())]
            # Structured logs also have a context that is suppressed.
            left += [one.__cause__, one.__context__, *one.args]
            if isinstance(one, BaseExceptionGroup):
                left += one.exceptions
    return texts


def leaks_in(lines: Iterable[str]) -> list[str]:
    """Return the parts of lines around a sentinel."""
    return [
        line[max(0, line.lower().index(MARK) - 150) :][:300]
        for line in lines
        if MARK in line.lower()
    ]
