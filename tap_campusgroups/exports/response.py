"""What a response of the service means: the table of HTTP statuses and bodies.

Nothing here sends requests, waits or logs.
"""

from __future__ import annotations

import enum
import re
import typing as t
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus

from tap_campusgroups.records.json_codec import (
    InvalidJsonError,
    JsonError,
    Raw,
    UnexpectedJsonError,
    decode_body,
    decode_value,
    describe_json,
    repeats_key,
)
from tap_campusgroups.redaction import MAX_NAMES, printable, redact_message

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_campusgroups.records.json_codec import Buffer


MAX_IDENTIFIER: t.Final = 4096  # characters of a queryId or a token, which become part of a URL


class ResponseKind(enum.Enum):
    """What a response means for its export; the value is the text for log lines and errors."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    PAGE = "a page of rows"
    FAILED = "the query failed"
    CANCELLED = "the query was cancelled"
    EXPIRED = "the query or the page no longer exists"
    REJECTED = "the service rejected the request"
    DENIED = "the service denied access"
    REDIRECTED = "the service sent a redirect, which is not followed"
    BUSY = "the service is busy"
    SERVER_ERROR = "internal error of the service"
    INVALID_JSON = "the body is not valid JSON"
    UNRECOGNISED = "the response has an unknown format"
    TOKEN_REPEATED = "the service returned the same page token twice"  # noqa: S105 - not a secret
    ENDLESS = "the service keeps sending empty pages or the same rows"
    QUERY_ID_REPEATED = "the service returned the queryId of another export"


# The export is not ready yet.
WAITING: t.Final = {ResponseKind.QUEUED, ResponseKind.RUNNING}
# The export has ended; its range can be submitted again.
RESUBMITTED: t.Final = {ResponseKind.FAILED, ResponseKind.CANCELLED, ResponseKind.EXPIRED}
# The request failed; the same request can be sent again.
TRANSIENT: t.Final = {ResponseKind.BUSY, ResponseKind.SERVER_ERROR, ResponseKind.INVALID_JSON}


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A response and its meaning."""

    kind: ResponseKind
    status: int = HTTPStatus.OK
    detail: str = ""  # the message, or the structure of the body, without personal data
    query_id: str | None = None
    results: Raw | None = None  # JSON text of the array of rows, if it is a page
    token: str | None = None  # of the next page
    has_rows: bool = False
    unknown_keys: tuple[str, ...] = ()  # of the body, that the API does not document
    has_invalid_unicode: bool = False

    def __str__(self) -> str:
        """Describe the response: `the query failed (HTTP 500, "Query execution failed")`."""
        return f"{self.kind.value} (HTTP {self.status}, {self.detail})"


_Pattern: t.TypeAlias = tuple[re.Pattern[str], ResponseKind]


def _pattern(pattern: str, kind: ResponseKind) -> _Pattern:
    return re.compile(pattern, re.IGNORECASE), kind


# Meaning of a message, by the kind of response that carries it. The first match counts.
# "Query execution failed", "Query execution was cancelled", and a 200 that says "Error ...".
_QUERY_FAILED = r"\bexecution failed\b|\bquery (?:has )?failed\b"
_FAILED = _pattern(rf"^\s*error\b|{_QUERY_FAILED}", ResponseKind.FAILED)
_CANCELLED = _pattern(r"\bcancel+ed\b", ResponseKind.CANCELLED)
_BAD_DATE = _pattern(r"\berror parsing (?:start|end) date\b", ResponseKind.REJECTED)
_IN_5XX: t.Final = (_CANCELLED, _pattern(_QUERY_FAILED, ResponseKind.FAILED))
_WAIT: t.Final = (
    _pattern(r"\b(?:queued|waiting|pending)\b", ResponseKind.QUEUED),
    _pattern(
        r"\b(?:running|executing|accepted|processing|in progress"
        r"|not (?:yet )?(?:complete|completed|done|finished|ready))\b",
        ResponseKind.RUNNING,
    ),
)
_WITHOUT_ROWS: t.Final = (
    _CANCELLED,
    _FAILED,
    *_WAIT,
    _pattern(
        r"\bno (?:data|records?|results?|rows?)\b|\b(?:complete|completed|done|finished|ok"
        r"|succeeded|success|successful|successfully)\b",
        ResponseKind.PAGE,
    ),
)
_BESIDE_ROWS: t.Final = (
    _CANCELLED,
    _pattern(
        r"\b(?:aborted|error|exception|fail|failed|failure|incomplete|timed out|truncated)\b",
        ResponseKind.FAILED,
    ),
)
_ON_LAST_PAGE: t.Final = (
    *_BESIDE_ROWS,
    *_WAIT,
    _pattern(
        r"\bpartial(?:ly)?\b|(?<!\bno )\bmore (?:data|pages|records|results|rows)\b",
        ResponseKind.FAILED,
    ),
)

_BY_STATUS: t.Final = {
    401: ResponseKind.DENIED,
    403: ResponseKind.DENIED,
    410: ResponseKind.CANCELLED,
    408: ResponseKind.BUSY,
    429: ResponseKind.BUSY,
}
_GET_BY_STATUS: t.Final = {
    201: ResponseKind.QUEUED,
    202: ResponseKind.RUNNING,
    400: ResponseKind.EXPIRED,
    404: ResponseKind.EXPIRED,
}


def classify(method: str, status: int, content: Buffer) -> ParsedResponse:
    """Return the meaning of a response.

    | status | body | meaning |
    | --- | --- | --- |
    | 2xx to a POST | has a `queryId` | accepted |
    | 201, 202 to a GET | any | queued, running |
    | 200 | has a non-empty `error` | failed |
    | 200 to a GET | has rows, and a message that reports a failure | failed |
    | 200 to a GET | has rows, no token, and a message: queued, running, or failed if it reports a
      part of the rows | |
    | 200 to a GET | no rows, but a message: queued, running, failed or cancelled by its wording; an
      empty page if it reports success or no data; otherwise unrecognised | |
    | 200 to a GET | `Results` is an array | page; the last one has no token, or an empty one |
    | 200 | not JSON | invalid JSON: the request is retried |
    | 2xx | anything else | unrecognised; never an empty page |
    | 3xx | any | redirected |
    | 401, 403 | any | denied |
    | 408, 429 | any | busy |
    | 410 | any | cancelled |
    | 400, 404 to a GET | any | expired |
    | other 4xx | any | rejected |
    | 5xx | the message says that the query failed or was cancelled | failed, cancelled |
    | 5xx to a POST | the message says that a date could not be parsed | rejected |
    | other 5xx | any | server error: the request is retried |

    Keys match in any case, with or without underscores. If a key has two spellings, the value that
    is not empty counts; two different values make the response unrecognised, as does one key twice,
    also in the first row.

    Sources: specification 1.1, `responses` of GET and POST; the document, "Date Ranges and
    Pagination". The 403 and the 200 with only a message are reported by public clients.
    """
    body = _Body(content)
    return replace(
        _classify(method, status, body),
        status=status,
        detail=redact_message(body.message) if body.message else body.structure,
        unknown_keys=tuple(body.unknown_keys) if status < HTTPStatus.MULTIPLE_CHOICES else (),
        has_invalid_unicode=body.has_invalid_unicode,
    )


# Known keys of a body, in lower case and without underscores, and our names of them.
_FIELDS: t.Final = {
    "results": "results",
    "nexttoken": "token",
    "message": "message",
    "queryid": "query_id",
    **dict.fromkeys(("error", "errors", "errormessage"), "error"),
}


class _Body:
    """The known fields of a body, decoded except `results`, and what is wrong with it."""

    def __init__(self, content: Buffer) -> None:
        self.fields: dict[str, t.Any] = {}
        self.unknown_keys: list[str] = []
        self.has_invalid_unicode = False
        self.problem: ResponseKind | None = None
        try:
            body, self.has_invalid_unicode = decode_body(content)
        except UnexpectedJsonError as error:
            self.problem = ResponseKind.UNRECOGNISED
            self.structure = str(error) or f"JSON of type {describe_json(content)}"
            return
        except InvalidJsonError:
            self.problem = ResponseKind.INVALID_JSON
            self.structure = f"{len(content)} bytes that are not JSON"
            return
        types = []
        for key, raw in body.items():
            name = _FIELDS.get(key.replace("_", "").lower())
            types.append(f"{printable(key) if name else '(another key)'}: {describe_json(raw)}")
            if name is None:
                self.unknown_keys.append(key)
            else:
                self._add(name, raw)
        self.structure = f"an object of {', '.join(types[:MAX_NAMES]) or 'no keys'}"

    def _add(self, name: str, raw: Raw) -> None:
        value: t.Any = raw
        if name != "results":
            with suppress(JsonError):
                value = decode_value(raw)
        other = self.fields.get(name)
        if not _is_filled(other):
            if other is None or _is_filled(value):
                self.fields[name] = value
        elif name != "error" and _is_filled(value) and value != other:
            self.problem = ResponseKind.UNRECOGNISED

    @property
    def message(self) -> str | None:
        """The text of an error, or the message."""
        return _text(self.fields.get("error")) or _text(self.fields.get("message"))


def _text(value: t.Any) -> str | None:
    return value if value and isinstance(value, str) else None


def _identifier(value: t.Any) -> str | None:
    text = _text(value)
    return text if text and len(text) <= MAX_IDENTIFIER else None


_EMPTY = re.compile(rb'\s*(?:null|""|\[\s*\])\s*')


def _is_filled(value: t.Any) -> bool:
    if isinstance(value, Raw):
        return not _EMPTY.fullmatch(memoryview(value))
    return value not in (None, "", [])


def _match(message: str | None, patterns: Iterable[_Pattern]) -> ResponseKind | None:
    return next((kind for pattern, kind in patterns if message and pattern.search(message)), None)


def _classify(method: str, status: int, body: _Body) -> ParsedResponse:
    kind = _kind_by_status(method, status, body.message) or body.problem
    if kind is None and body.fields.get("error"):
        kind = ResponseKind.FAILED
    if kind is not None:
        return ParsedResponse(kind)
    if method == "POST":
        if query_id := _identifier(body.fields.get("query_id")):
            return ParsedResponse(ResponseKind.ACCEPTED, query_id=query_id)
        return ParsedResponse(_match(body.message, [_FAILED]) or ResponseKind.UNRECOGNISED)
    return _parse_page(body) if status == HTTPStatus.OK else _UNRECOGNISED


def _kind_by_status(method: str, status: int, message: str | None) -> ResponseKind | None:
    """Return the meaning of a response whose status says it, and of its message if it failed."""
    is_post = method == "POST"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        by_message = _match(message, [*_IN_5XX, _BAD_DATE] if is_post else _IN_5XX)
        return by_message or ResponseKind.SERVER_ERROR
    if by_status := _BY_STATUS.get(status) or (None if is_post else _GET_BY_STATUS.get(status)):
        return by_status
    if status >= HTTPStatus.BAD_REQUEST:
        return ResponseKind.REJECTED
    return ResponseKind.REDIRECTED if status >= HTTPStatus.MULTIPLE_CHOICES else None


_UNRECOGNISED: t.Final = ParsedResponse(ResponseKind.UNRECOGNISED)


def _parse_page(body: _Body) -> ParsedResponse:
    results, token = body.fields.get("results"), body.fields.get("token")
    has_rows, kind = _is_filled(results), ResponseKind.PAGE
    if has_rows:
        kind = _match(body.message, _BESIDE_ROWS if _is_filled(token) else _ON_LAST_PAGE) or kind
    elif _is_filled(body.fields.get("message")):
        kind = _match(body.message, _WITHOUT_ROWS) or ResponseKind.UNRECOGNISED
    if kind is not ResponseKind.PAGE:
        return ParsedResponse(kind)
    next_token = _identifier(token)
    if results is None or describe_json(results) != "array":
        return _UNRECOGNISED
    if next_token is None and token not in (None, ""):
        return _UNRECOGNISED
    if repeats_key(results):
        body.structure = "rows that have a key twice"
        return _UNRECOGNISED
    return ParsedResponse(kind, results=results, token=next_token, has_rows=has_rows)
