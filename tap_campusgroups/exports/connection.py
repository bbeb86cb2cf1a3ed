"""The connection of one worker: HTTP with limits on time and size, and what a failure means."""

from __future__ import annotations

import re
import socket
import ssl
import time
import typing as t
from http import HTTPStatus
from queue import Empty, SimpleQueue
from threading import Thread

import requests
from typing_extensions import override

from tap_campusgroups.exceptions import ConnectionSetupError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CHUNK_BYTES: t.Final = 2**18
MAX_BODY_BYTES: t.Final = 256 * 2**20  # of a page, decompressed: it has to fit in memory
MAX_ERROR_BYTES: t.Final = 2**20  # that are read of any other response
CHECK_SECONDS: t.Final = 1.0  # of a deadline that one look at the clock can use up


class HttpResponse(t.NamedTuple):
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class BodyTooLargeError(Exception):
    """A page is larger than `MAX_BODY_BYTES`."""


class NoRoomError(Exception):
    """A page is larger than expected, and other pages fill the buffer."""


class DeadlineExceededError(requests.exceptions.Timeout):
    """A response did not arrive completely in time."""


class Connection:
    """Sends the requests of one worker, one after the other, over a kept-alive connection.

    The timeouts of a socket apply between two bytes, so a response that arrives byte by byte would
    never end. A second thread therefore waits for responses; if one takes too long, that thread
    is left behind and ends with the response.
    """

    def __init__(self) -> None:
        # Seconds that the last request took, without time in which the process did not run.
        self.waited = 0.0
        self._sender: _Sender | None = None

    def exchange(
        self,
        request: requests.PreparedRequest,
        *,
        timeout: float,
        deadline: float,
        has_room: Callable[[int], bool] = lambda _: True,
    ) -> HttpResponse:
        """Send a request and return the whole response.

        Args:
            request: The request; redirects are not followed.
            has_room: Whether there is room for the bytes of a page that have arrived.
            timeout: Limit between two bytes, in seconds.
            deadline: Limit of the whole response, in seconds.

        Raises:
            requests.RequestException: If there is no whole response, such as
                `DeadlineExceededError`.
            OSError: If a certificate file of the environment does not exist.
            BodyTooLargeError: If a page is too large for memory.
            NoRoomError: If there is no room for a page.
        """
        if self._sender is None:
            self._sender = start_thread(_Sender())
        self._sender.requests.put((request, timeout, has_room))
        self.waited = 0.0
        # In steps, so that a suspended process finds most of the deadline left when it resumes.
        while (step := min(CHECK_SECONDS, deadline - self.waited)) > 0:
            began = time.monotonic()
            try:
                answer = self._sender.answers.get(timeout=step)
            except Empty:
                self.waited += step
                continue
            self.waited += min(time.monotonic() - began, step)
            if isinstance(answer, BaseException):
                raise answer
            return answer
        self.close()
        raise DeadlineExceededError

    def close(self) -> None:
        """Close the connection once its current request has ended."""
        if self._sender is not None:
            self._sender.requests.put(None)
            self._sender = None


_Thread = t.TypeVar("_Thread", bound=Thread)


def start_thread(thread: _Thread) -> _Thread:
    """Start a thread as a daemon, and return it.

    Raises:
        ConnectionSetupError: If the system allows no more threads.
    """
    thread.daemon = True
    try:
        thread.start()
    except RuntimeError:
        msg = (
            "The system does not allow another thread. Raise its limit of processes (ulimit -u, or "
            "the limit of the container), or lower max_concurrent_exports."
        )
        raise ConnectionSetupError(msg) from None
    return thread


_Call: t.TypeAlias = tuple[requests.PreparedRequest, float, "Callable[[int], bool]"]


class _Sender(Thread):
    """The thread of a connection."""

    def __init__(self) -> None:
        super().__init__(name="tap-campusgroups-request")
        self.requests: SimpleQueue[_Call | None] = SimpleQueue()
        self.answers: SimpleQueue[HttpResponse | BaseException] = SimpleQueue()

    @override
    def run(self) -> None:
        with requests.Session() as session:
            while (call := self.requests.get()) is not None:
                try:
                    answer: HttpResponse | BaseException = _exchange(session, *call)
                except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
                    answer = error
                self.answers.put(answer)
                del answer, call  # a page is freed by the thread that takes it


def _exchange(
    session: requests.Session,
    request: requests.PreparedRequest,
    timeout: float,
    has_room: Callable[[int], bool],
) -> HttpResponse:
    url = request.url or ""
    # Certificates and proxies of the environment, as `Session.request` uses them.
    environment = session.merge_environment_settings(url, {}, stream=True, verify=True, cert=None)
    # An adapter follows no redirect, which would take the secret to another host.
    response = session.get_adapter(url).send(
        request,
        stream=True,
        timeout=timeout,
        verify=environment["verify"] or True,
        # Plain http goes to this machine only; a proxy would read the secret.
        proxies=environment["proxies"] if url.startswith("https:") else {},
    )
    return HttpResponse(response.status_code, response.headers, _read_body(response, has_room))


def _read_body(response: requests.Response, has_room: Callable[[int], bool]) -> bytes:
    """Read the body of a streamed response: all of a 200, `MAX_ERROR_BYTES` of any other."""
    chunks: list[bytes] = []
    size = 0
    with response:  # closes the connection if the body is not read to its end
        is_ok = response.status_code == HTTPStatus.OK
        limit = MAX_BODY_BYTES if is_ok else MAX_ERROR_BYTES
        for chunk in response.iter_content(CHUNK_BYTES):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                if is_ok:
                    raise BodyTooLargeError
                break
            if is_ok and not has_room(size):
                raise NoRoomError
    return b"".join(chunks)


def describe_failure(failure: OSError) -> str:
    """Describe a failed attempt without the error's text, which contains the URL."""
    cause = _cause(failure)
    detail = "" if cause is failure else f" ({type(cause).__name__})"
    return f"{type(failure).__name__}{detail}"


def setup_problem(failure: OSError, *, has_answered: bool) -> str | None:
    """Return what to correct if waiting cannot help: a certificate, a proxy, the URL.

    `has_answered` is whether the service has answered in this run: then the setup works.
    """
    cause = _cause(failure)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"the certificate is not trusted ({cause.verify_message.rstrip('.')}). If a proxy of "
            "your network inspects connections, set REQUESTS_CA_BUNDLE to the file with the "
            "certificates of its authority"
        )
    if _is_certificate_file_error(failure, cause):
        return "a certificate file cannot be read. Correct REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
    if isinstance(failure, requests.exceptions.InvalidSchema):
        return f"a SOCKS proxy needs the package PySocks. Install it, or correct {_PROXY}"
    if isinstance(failure, requests.exceptions.InvalidURL):
        return f"a URL is invalid. Correct api_url, {_PROXY}"
    return None if has_answered else _address_problem(failure, cause)


_PROXY: t.Final = "HTTPS_PROXY, ALL_PROXY or NO_PROXY"


def _is_certificate_file_error(failure: OSError, cause: BaseException) -> bool:
    if isinstance(cause, ssl.SSLError):
        return cause.library not in {None, "SSL"}  # such as PEM, while a file is loaded
    is_of_requests = isinstance(failure, requests.RequestException)
    return not is_of_requests and failure.errno is None  # a missing file


def _address_problem(failure: OSError, cause: BaseException) -> str | None:
    if isinstance(failure, requests.exceptions.ProxyError):
        # The text of http.client: no attribute has the status.
        status = re.search("Tunnel connection failed: ([0-9]{3})", str(cause))
        if status and status[1].startswith("5"):
            return None
        reason = f"HTTP {status[1]}" if status else type(cause).__name__
        return f"the proxy cannot be used ({reason}). Correct {_PROXY}"
    if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
        return "the host name does not exist. Correct school_code or api_url"
    return None


def _cause(error: BaseException) -> BaseException:
    """Return the innermost of the errors that wrap each other."""
    wrapped = [getattr(error, "reason", None), getattr(error, "original_error", None)]
    wrapped += [*error.args[:1], error.__cause__]
    inner = next((one for one in wrapped if isinstance(one, BaseException)), None)
    return error if inner is None else _cause(inner)
