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
)
from tap_campusgroups.redaction import MAX_NAMES, redact_message

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_campusgroups.records.json_codec import Buffer


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
    ENDLESS = "the service keeps sending empty or identical pages"
    QUERY_ID_REPEATED = "the service returned the queryId of another export"


WAITING: t.Final = {ResponseKind.QUEUED, ResponseKind.RUNNING}
"""The export is not ready yet."""

RESUBMITTED: t.Final = {ResponseKind.FAILED, ResponseKind.CANCELLED, ResponseKind.EXPIRED}
"""The export has ended; its range can be submitted again."""

TRANSIENT: t.Final = {ResponseKind.BUSY, ResponseKind.SERVER_ERROR, ResponseKind.INVALID_JSON}
"""The request failed; the same request can be sent again."""


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A response and its meaning.

    Attributes:
        status: HTTP status.
        detail: The service's message, or the structure of the body, without personal data.
        results: JSON text of the page's array of rows, if it is a page.
        token: Token of the next page; `None` on the last page.
        unknown_keys: Keys of the body that the API does not document.
    """

    kind: ResponseKind
    status: int = HTTPStatus.OK
    detail: str = ""
    query_id: str | None = None
    results: Raw | None = None
    token: str | None = None
    has_rows: bool = False
    unknown_keys: tuple[str, ...] = ()
    has_invalid_unicode: bool = False

    def __str__(self) -> str:
        """Describe the response: `the query failed (HTTP 500, "Query execution failed")`."""
        return f"{self.kind.value} (HTTP {self.status}, {self.detail})"


_Pattern: t.TypeAlias = tuple[re.Pattern[str], ResponseKind]


def _pattern(pattern: str, kind: ResponseKind) -> _Pattern:
    return re.compile(pattern, re.IGNORECASE), kind


# "Query execution failed", "Query execution was cancelled", and a 200 that says "Error ...".
_QUERY_FAILED = r"\bexecution failed\b|\bquery (?:has )?failed\b"
_FAILED = _pattern(rf"^\s*error\b|{_QUERY_FAILED}", ResponseKind.FAILED)
_CANCELLED = _pattern(r"\bcancel+ed\b", ResponseKind.CANCELLED)

# Meaning of a message, by the kind of response that carries it. The first match counts.
_BAD_DATE = _pattern(r"\berror parsing (?:start|end) date\b", ResponseKind.REJECTED)
_IN_5XX: t.Final = (_CANCELLED, _pattern(_QUERY_FAILED, ResponseKind.FAILED))
_WITHOUT_ROWS: t.Final = (
    _CANCELLED,
    _FAILED,
    _pattern(r"\b(?:queued|waiting|pending)\b", ResponseKind.QUEUED),
    _pattern(
        r"\b(?:running|executing|accepted|processing|in progress"
        r"|not (?:yet )?(?:complete|completed|done|finished|ready))\b",
        ResponseKind.RUNNING,
    ),
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
    is not empty counts; two different values make the response unrecognised.

    Sources: specification 1.1, `responses` of GET and POST; the document, "Date Ranges and
    Pagination". The 403 and the 200 with only a message are reported by public clients.
    """
    body = _parse_body(content)
    parsed = _classify(method, status, body)
    return replace(
        parsed,
        status=status,
        detail=body.structure if body.message is None else redact_message(body.message),
        unknown_keys=body.unknown_keys if status < HTTPStatus.MULTIPLE_CHOICES else (),
        has_invalid_unicode=body.has_invalid_unicode,
    )


@dataclass(frozen=True, slots=True)
class _Body:
    """The known fields of a body, and what is wrong with it."""

    fields: Mapping[str, t.Any]
    structure: str
    unknown_keys: tuple[str, ...] = ()
    has_invalid_unicode: bool = False
    problem: ResponseKind | None = None

    @property
    def message(self) -> str | None:
        return _text(self.fields.get("error")) or _text(self.fields.get("message"))


def _classify(method: str, status: int, body: _Body) -> ParsedResponse:
    kind = _kind_by_status(method, status, body.message) or body.problem
    if kind is None and body.fields.get("error"):
        kind = ResponseKind.FAILED
    if kind is not None:
        return ParsedResponse(kind)
    if method == "POST":
        return _parse_submission(body)
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

_FIELDS: t.Final[dict[str, str]] = {
    "results": "results",
    "nexttoken": "token",
    "message": "message",
    "queryid": "query_id",
    "error": "error",
    "errors": "error",
    "errormessage": "error",
}
"""Known keys of a body, in lower case and without underscores, and our names of them."""

_EMPTY = re.compile(rb'\s*(?:null|""|\[\s*\])\s*')


def _is_filled(value: t.Any) -> bool:
    if isinstance(value, Raw):
        return not _EMPTY.fullmatch(memoryview(value))
    return value not in (None, "", [])


def _parse_body(content: Buffer) -> _Body:
    try:
        body, has_invalid_unicode = decode_body(content)
    except UnexpectedJsonError as error:
        structure = str(error) or f"JSON of type {describe_json(content)}"
        kind = ResponseKind.UNRECOGNISED
        return _Body({}, structure, problem=kind)
    except InvalidJsonError:
        structure = f"{len(content)} bytes that are not JSON"
        return _Body({}, structure, problem=ResponseKind.INVALID_JSON)
    keys = [
        f"{key if _field(key) else '(another key)'}: {describe_json(raw)}"
        for key, raw in list(body.items())[:MAX_NAMES]
    ]
    structure = f"an object of {', '.join(keys) or 'no keys'}"
    try:
        return _Body(*_known_fields(body, structure), has_invalid_unicode)
    except UnexpectedJsonError:
        return _Body({}, structure, problem=ResponseKind.UNRECOGNISED)


def _field(key: str) -> str | None:
    return _FIELDS.get(key.replace("_", "").lower())


def _known_fields(
    body: Mapping[str, Raw], structure: str
) -> tuple[dict[str, t.Any], str, tuple[str, ...]]:
    """Return the known fields, decoded except `results`, the structure, and the unknown keys."""
    fields: dict[str, t.Any] = {}
    unknown: list[str] = []
    for key, raw in body.items():
        name = _field(key)
        if name is None:
            unknown.append(key)
            continue
        value: t.Any = raw
        if name != "results":
            with suppress(JsonError):
                value = decode_value(raw)
        if not _is_filled(other := fields.get(name)):
            if other is None or _is_filled(value):
                fields[name] = value
        elif name != "error" and _is_filled(value) and value != other:
            raise UnexpectedJsonError
    return fields, structure, tuple(unknown)


def _text(value: t.Any) -> str | None:
    return value if value and isinstance(value, str) else None


def _match(message: str | None, patterns: Iterable[_Pattern]) -> ResponseKind | None:
    return next((kind for pattern, kind in patterns if message and pattern.search(message)), None)


def _parse_submission(body: _Body) -> ParsedResponse:
    if query_id := _text(body.fields.get("query_id")):
        return ParsedResponse(ResponseKind.ACCEPTED, query_id=query_id)
    return ParsedResponse(_match(body.message, [_FAILED]) or ResponseKind.UNRECOGNISED)


def _parse_page(body: _Body) -> ParsedResponse:
    results, token = body.fields.get("results"), body.fields.get("token")
    has_rows, kind = _is_filled(results), ResponseKind.PAGE
    if has_rows:
        kind = _match(body.message, _BESIDE_ROWS) or kind
    elif _is_filled(body.fields.get("message")):
        kind = _match(body.message, _WITHOUT_ROWS) or ResponseKind.UNRECOGNISED
    if kind is not ResponseKind.PAGE:
        return ParsedResponse(kind)
    is_array = results is not None and describe_json(results) == "array"
    if not is_array or not isinstance(token, str | None):
        return _UNRECOGNISED
    return ParsedResponse(kind, results=results, token=_text(token), has_rows=has_rows)
