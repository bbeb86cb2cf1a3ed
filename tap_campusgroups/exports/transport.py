"""The connections: how a worker's session is made, and what can go wrong on the way."""

from __future__ import annotations

import mmap
import re
import socket
import sys
import typing as t
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from queue import Empty, SimpleQueue
from threading import Thread

import requests
from singer_sdk.exceptions import RetriableAPIError
from urllib3.exceptions import NameResolutionError

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

RETRIED: t.Final = (RetriableAPIError, requests.exceptions.RequestException)
"""Failures of the transport, which the same request may not meet again."""


def name_fault(error: BaseException | None) -> str:
    """Name a failure of the transport without its text, which has the URL in it.

    Args:
        error: The failure of a try.

    Returns:
        Our own text about an answer; for instance `ConnectionError (NameResolutionError) on the way
        to the service` where there was none.
    """
    if isinstance(error, RetriableAPIError):
        return str(error)
    inner = _reason(error)
    detail = f" ({type(inner).__name__})" if isinstance(inner, Exception) else ""
    return f"{type(error).__name__}{detail} on the way to the service"


def is_unknown_host(error: BaseException) -> bool:
    """Say whether a try failed because the service's host has no address, and never will.

    Not a name server that cannot be reached: that passes.
    """
    inner = _reason(error)
    cause = inner.__cause__ if isinstance(inner, NameResolutionError) else None
    return isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME


def _reason(error: BaseException | None) -> object:
    """Find what urllib3 gives as the reason of an error of `requests`."""
    return getattr(error.args[0], "reason", None) if error and error.args else None


CHUNK_BYTES: t.Final = 2**16
"""How much of a body is read at once."""

MAX_BODY_BYTES: t.Final = 256 * 2**20
"""Largest body of a page that is read, decompressed: memory has to hold it."""

MAX_ERROR_BYTES: t.Final = 2**20
"""How much is read of the body of any other response."""


class BodyTooLargeError(Exception):
    """A page is larger than `MAX_BODY_BYTES`."""


def read_body(response: requests.Response) -> bytes | memoryview:
    """Read the body of a response that streams.

    A page may wait for long among many others. In memory of its own it goes back to the system as a
    whole when it is done with; among the small things of many threads it would leave holes.

    Args:
        response: A response; its connection is free afterwards, unless not all of its body was
            read.

    Returns:
        The whole body; of a response other than 200 the first `MAX_ERROR_BYTES`.

    Raises:
        BodyTooLargeError: If the body of a 200 is larger than `MAX_BODY_BYTES`.
    """
    with response:  # which closes the connection of a body that breaks off
        is_ok = response.status_code == HTTPStatus.OK
        limit = MAX_BODY_BYTES if is_ok else MAX_ERROR_BYTES
        chunks: Iterable[bytes] = _limited(response.iter_content(CHUNK_BYTES), limit)
        size = _announced_size(response)
        if size is None or size > limit:
            chunks = list(chunks)
            size = sum(map(len, chunks))
            if size > limit and is_ok:
                raise BodyTooLargeError
        if size <= CHUNK_BYTES:
            return b"".join(chunks)
        held = mmap.mmap(-1, size)
        for chunk in chunks:
            held.write(chunk)
        return memoryview(held)


def _limited(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Yield chunks until there is more than the limit."""
    size = 0
    for chunk in chunks:
        yield chunk
        size += len(chunk)
        if size > limit:
            return


def _announced_size(response: requests.Response) -> int | None:
    """Return the length of the body, if urllib3 sees to it that no more and no less comes."""
    length = response.headers.get("Content-Length", "")
    is_plain = response.headers.keys().isdisjoint(("Content-Encoding", "Transfer-Encoding"))
    return int(length) if is_plain and _LENGTH.fullmatch(length) else None


_LENGTH = re.compile(r"[0-9]{1,15}")

_T = t.TypeVar("_T")


def call_with_deadline(function: Callable[[], _T], seconds: float) -> _T:
    """Call a function in a thread of its own, and wait for it.

    The time limits of a connection are those between two bytes: a response that comes byte by byte
    would never end. A call that takes too long goes on alone and ends with its connection.

    Args:
        function: Does not use the session of the worker that calls.
        seconds: Longest time to wait.

    Returns:
        What the function returns.

    Raises:
        DeadlineExceededError: If it takes longer.
    """
    outcomes: SimpleQueue[tuple[_T, None] | tuple[None, BaseException]] = SimpleQueue()

    def call() -> None:
        try:
            outcomes.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            outcomes.put((None, error))

    Thread(target=call, name="tap-campusgroups-request", daemon=True).start()
    try:
        value, error = outcomes.get(timeout=seconds)
    except Empty:
        raise DeadlineExceededError from None
    if error is not None:
        raise error
    return t.cast("_T", value)


class DeadlineExceededError(requests.exceptions.Timeout):
    """A response did not arrive as a whole in time."""


@contextmanager
def worker_session() -> Iterator[requests.Session]:
    """Make the session of a worker; close it, with what it holds, at the end.

    Yields:
        The session, which `current_session` gives to whoever asks in this thread meanwhile.
    """
    session = _new_session()
    token = _session.set(session)
    try:
        yield session
    finally:
        current = _session.get()
        _session.reset(token)
        if current is not None:
            current.close()


def _new_session() -> requests.Session:
    session = _Session()
    session.stream = True  # for `read_body`
    return session


def replace_session() -> None:
    """Give the worker a new session: a request that took too long still uses the old one."""
    if current_session() is not None:
        _session.set(_new_session())


_session: ContextVar[requests.Session | None] = ContextVar("session", default=None)


def current_session() -> requests.Session | None:
    """Return the session of the worker that asks; `None` outside of one."""
    return _session.get()


class _Session(requests.Session):
    """A session that never looks where a redirect leads; even the look may fail."""

    @override
    def resolve_redirects(self, *args: t.Any, **kwargs: t.Any) -> Iterator[t.Any]:
        return iter(())
