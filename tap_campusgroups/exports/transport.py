"""Connections: the session of a worker, the body of a response, and failures on the way."""

from __future__ import annotations

import mmap
import socket
import typing as t
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from threading import Thread

import requests
from singer_sdk.exceptions import RetriableAPIError
from typing_extensions import override
from urllib3.exceptions import NameResolutionError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RETRIABLE: t.Final = (RetriableAPIError, requests.exceptions.RequestException)
"""Failures after which the same request can be sent again."""


def describe_failure(failure: BaseException) -> str:
    """Describe a failed attempt without the error's text, which contains the URL."""
    if isinstance(failure, RetriableAPIError):
        return str(failure)
    reason = _reason(failure)
    detail = f" ({type(reason).__name__})" if isinstance(reason, Exception) else ""
    return f"{type(failure).__name__}{detail}"


def is_unknown_host(failure: BaseException) -> bool:
    """Return whether the host name does not exist; false if no name server can be reached."""
    reason = _reason(failure)
    cause = reason.__cause__ if isinstance(reason, NameResolutionError) else None
    return isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME


def _reason(failure: BaseException) -> object:
    """Return urllib3's reason for an error of `requests`."""
    return getattr(failure.args[0], "reason", None) if failure.args else None


CHUNK_BYTES: t.Final = 2**16

MAX_BODY_BYTES: t.Final = 256 * 2**20
"""Maximum size of a page after decompression; it has to fit in memory."""

MAX_ERROR_BYTES: t.Final = 2**20
"""Bytes that are read of any other response."""


class BodyTooLargeError(Exception):
    """A page is larger than `MAX_BODY_BYTES`."""


def read_body(response: requests.Response) -> bytes | memoryview:
    """Read the body of a streamed response: all of a 200, `MAX_ERROR_BYTES` of any other."""
    with response:  # closes the connection if the body is not read to its end
        is_ok = response.status_code == HTTPStatus.OK
        limit = MAX_BODY_BYTES if is_ok else MAX_ERROR_BYTES
        body = bytearray()
        for chunk in response.iter_content(CHUNK_BYTES):
            body += chunk
            if len(body) > limit:
                if is_ok:
                    raise BodyTooLargeError
                break
    if len(body) <= CHUNK_BYTES:
        return bytes(body)
    # A buffered page in a memory map returns to the system as a whole, not as holes in the heap.
    memory = mmap.mmap(-1, len(body))
    memory.write(body)
    return memoryview(memory)


class DeadlineExceededError(requests.exceptions.Timeout):
    """A response did not arrive completely in time."""


_T = t.TypeVar("_T")


def call_with_deadline(function: Callable[[], _T], seconds: float) -> _T:
    """Call a function in a new thread and wait for its result.

    The timeouts of a connection apply between two bytes, so a response that arrives byte by byte
    would never end. A call that takes too long is left behind and ends with its connection.

    Raises:
        DeadlineExceededError: If it takes longer than `seconds`.
    """
    future: Future[_T] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            future.set_exception(error)

    Thread(target=call, name="tap-campusgroups-request", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        raise DeadlineExceededError from None


_session: ContextVar[requests.Session] = ContextVar("session")


@contextmanager
def worker_session() -> Iterator[None]:
    """Create the session of a worker thread, and close it at the end."""
    token = _session.set(_Session())
    try:
        yield
    finally:
        current_session().close()
        _session.reset(token)


def current_session() -> requests.Session:
    """Return the session of the current worker thread."""
    return _session.get()


def replace_session() -> None:
    """Give the worker a new session: a request that is left behind still uses the old one."""
    _session.set(_Session())


class _Session(requests.Session):
    """A session that does not parse the target of a redirect, which can fail."""

    @override
    def resolve_redirects(self, *args: t.Any, **kwargs: t.Any) -> Iterator[t.Any]:
        return iter(())
