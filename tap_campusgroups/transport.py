"""The connections: how a worker's session is made, and what can go wrong on the way."""

from __future__ import annotations

import mmap
import socket
import sys
import typing as t
from contextlib import contextmanager
from contextvars import ContextVar

import requests
from singer_sdk.exceptions import RetriableAPIError
from urllib3.exceptions import NameResolutionError

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def read_body(response: requests.Response) -> bytes | memoryview:
    """Read the body of a response that streams.

    A page may wait for long among many others. In memory of its own it goes back to the system as a
    whole when it is done with; among the small things of many threads it would leave holes.

    Args:
        response: A response; its connection is free afterwards.

    Returns:
        The whole body.
    """
    with response:  # which closes the connection of a body that breaks off
        chunks: Iterable[bytes] = response.iter_content(CHUNK_BYTES)
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and "Content-Encoding" not in response.headers:
            size = int(length)  # urllib3 sees to it that no more and no less comes
        else:
            chunks = list(chunks)
            size = sum(map(len, chunks))
        if size <= CHUNK_BYTES:
            return b"".join(chunks)
        held = mmap.mmap(-1, size)
        for chunk in chunks:
            held.write(chunk)
        return memoryview(held)


@contextmanager
def worker_session() -> Iterator[requests.Session]:
    """Make the session of a worker; close it, with what it holds, at the end.

    Yields:
        The session, which `current_session` gives to whoever asks in this thread meanwhile.
    """
    session = _Session()
    session.stream = True  # for `read_body`
    token = _session.set(session)
    try:
        yield session
    finally:
        _session.reset(token)
        session.close()


_session: ContextVar[requests.Session | None] = ContextVar("session", default=None)


def current_session() -> requests.Session | None:
    """Return the session of the worker that asks; `None` outside of one."""
    return _session.get()


class _Session(requests.Session):
    """A session that never looks where a redirect leads; even the look may fail."""

    @override
    def resolve_redirects(self, *args: t.Any, **kwargs: t.Any) -> Iterator[t.Any]:
        return iter(())
