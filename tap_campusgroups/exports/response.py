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
    describe_body,
)
from tap_campusgroups.records.quality import safe_field_name

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests

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
        message: The service's `message` or error text.
        results: JSON text of the page's array of rows, if it is a page.
        token: Token of the next page; `None` on the last page.
        unknown_keys: Keys of the body that the API does not document.
    """

    kind: ResponseKind
    message: str | None = None
    query_id: str | None = None
    results: Raw | None = None
    token: str | None = None
    has_rows: bool = False
    unknown_keys: tuple[str, ...] = ()
    has_invalid_unicode: bool = False


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
    is_post = method == "POST"
    fields, unknown_keys, has_invalid_unicode, problem = _parse_body(content)
    message = _text(fields.get("error")) or _text(fields.get("message"))

    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        by_message = _match(message, [*_IN_5XX, _BAD_DATE] if is_post else _IN_5XX)
        return ParsedResponse(by_message or ResponseKind.SERVER_ERROR, message)
    if by_status := _BY_STATUS.get(status) or (None if is_post else _GET_BY_STATUS.get(status)):
        return ParsedResponse(by_status, message)
    if status >= HTTPStatus.BAD_REQUEST:
        return ParsedResponse(ResponseKind.REJECTED, message)
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return ParsedResponse(ResponseKind.REDIRECTED, message)
    if problem:
        return ParsedResponse(problem)
    if fields.get("error"):
        parsed = ParsedResponse(ResponseKind.FAILED, message)
    elif is_post:
        parsed = _parse_submission(fields, message)
    elif status == HTTPStatus.OK:
        parsed = _parse_page(fields, message)
    else:
        parsed = ParsedResponse(ResponseKind.UNRECOGNISED, message)
    return replace(parsed, unknown_keys=unknown_keys, has_invalid_unicode=has_invalid_unicode)


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


def _parse_body(
    content: Buffer,
) -> tuple[dict[str, t.Any], tuple[str, ...], bool, ResponseKind | None]:
    """Return known fields, unknown keys, whether characters were replaced, and what is wrong."""
    try:
        body, has_invalid_unicode = decode_body(content)
        return *_known_fields(body), has_invalid_unicode, None
    except UnexpectedJsonError:
        return {}, (), False, ResponseKind.UNRECOGNISED
    except InvalidJsonError:
        return {}, (), False, ResponseKind.INVALID_JSON


def _known_fields(body: Mapping[str, Raw]) -> tuple[dict[str, t.Any], tuple[str, ...]]:
    """Return the known fields of a body, decoded except `results`, and its unknown keys."""
    fields: dict[str, t.Any] = {}
    unknown: list[str] = []
    for key, raw in body.items():
        name = _FIELDS.get(key.replace("_", "").lower())
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
    return fields, tuple(unknown)


def _text(value: t.Any) -> str | None:
    return value if value and isinstance(value, str) else None


def _match(message: str | None, patterns: Iterable[_Pattern]) -> ResponseKind | None:
    return next((kind for pattern, kind in patterns if message and pattern.search(message)), None)


def _parse_submission(fields: Mapping[str, t.Any], message: str | None) -> ParsedResponse:
    if query_id := _text(fields.get("query_id")):
        return ParsedResponse(ResponseKind.ACCEPTED, message, query_id=query_id)
    return ParsedResponse(_match(message, [_FAILED]) or ResponseKind.UNRECOGNISED, message)


def _parse_page(fields: Mapping[str, t.Any], message: str | None) -> ParsedResponse:
    results, token = fields.get("results"), fields.get("token")
    has_rows, kind = _is_filled(results), ResponseKind.PAGE
    if has_rows:
        kind = _match(message, _BESIDE_ROWS) or kind
    elif _is_filled(fields.get("message")):
        kind = _match(message, _WITHOUT_ROWS) or ResponseKind.UNRECOGNISED
    if kind is not ResponseKind.PAGE:
        return ParsedResponse(kind, message)
    is_array = results is not None and bytes(memoryview(results)[:1]) == b"["
    if not is_array or not isinstance(token, str | None):
        return ParsedResponse(ResponseKind.UNRECOGNISED, message)
    return ParsedResponse(kind, message, results=results, token=_text(token), has_rows=has_rows)


_PARSED, _CONTENT = "campusgroups_parsed", "campusgroups_content"


def cache_parsed(response: requests.Response, content: Buffer) -> ParsedResponse:
    """Classify a response by its whole body, and keep both for `parse_response` and `describe`."""
    parsed = classify(response.request.method or "GET", response.status_code, content)
    vars(response).update({_PARSED: parsed, _CONTENT: content})
    return parsed


def parse_response(response: requests.Response) -> ParsedResponse:
    """Classify a response; the result is cached, because a page can have megabytes."""
    parsed: ParsedResponse | None = vars(response).get(_PARSED)
    return parsed or cache_parsed(response, response.content)


_KNOWN_MESSAGES: t.Final = (
    # Specification 1.1, examples of the responses to POST and GET.
    "Accepted query and is running",
    "Error creating request",
    "Error getting query execution status",
    "Error making request",
    "Error parsing end date",
    "Error parsing query result",
    "Error parsing start date",
    "Error retrieving query result",
    "Error running query",
    "Error validating API key from API endpoint",
    "Query execution failed",
    "Query execution was cancelled",
    "Query is queued and waiting to be executed",
    "Unknown query execution state",
    "updatedStart and updatedEnd are required",
    # Amazon API Gateway, in front of the service.
    "Endpoint request timed out",
    "Forbidden",
    "Internal server error",
    "Service unavailable",
    "Too many requests",
    "Unauthorized",
)


def redact(message: str) -> str:
    """Hide the part of a message that may contain personal data.

    `Query execution failed: column 'Jane' not found` becomes
    `"Query execution failed" and 25 hidden characters`.
    """
    text = message.strip().lower()
    known = next((one for one in _KNOWN_MESSAGES if text.startswith(one.lower())), None)
    if known is None:
        return f"a hidden message of {len(message)} characters"
    hidden = len(text.removeprefix(known.lower()).strip(" .!"))
    return f'"{known}"' + (f" and {hidden} hidden characters" if hidden else "")


MAX_KEYS: t.Final = 5  # unknown keys named in a log line


def redact_keys(keys: Iterable[str]) -> str:
    """Return the keys of a body for a log line; keys that may be data are hidden."""
    # Keys of a body may begin with a capital letter, names of fields do not.
    safe: dict[str, None] = {}
    for key in keys:
        name = key[:1].lower() + key[1:]
        safe[key if (shown := safe_field_name(name)) == name else shown] = None
    more = f" and {len(safe) - MAX_KEYS} more" if len(safe) > MAX_KEYS else ""
    return ", ".join(list(safe)[:MAX_KEYS]) + more


def describe(response: requests.Response) -> str:
    """Describe a response without personal data: `HTTP 500, "Query execution failed"`."""
    message = parse_response(response).message
    detail = describe_body(vars(response)[_CONTENT]) if message is None else redact(message)
    return f"HTTP {response.status_code}, {detail}"
