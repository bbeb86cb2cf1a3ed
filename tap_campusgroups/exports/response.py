"""What an answer of the service means: the table of statuses and bodies.

Nothing here does I/O, waits or logs.
"""

from __future__ import annotations

import enum
import re
import typing as t
from dataclasses import dataclass, replace
from http import HTTPStatus

from tap_campusgroups.records.json_codec import (
    InvalidJsonError,
    JsonError,
    UnexpectedJsonError,
    decode_body,
    decode_value,
    describe_body,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests

    from tap_campusgroups.records.json_codec import Buffer, Raw


class ResponseKind(enum.Enum):
    """What an answer of the service means for the export; the value says it in words."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    PAGE = "a page of rows"
    FAILED = "the query failed"
    CANCELLED = "the query was cancelled"
    EXPIRED = "the service no longer knows the query or the page"
    REJECTED = "the service rejects the request"
    DENIED = "the service refuses the secret or the school"
    REDIRECTED = "the service redirects, which is not followed"
    BUSY = "the service is busy"
    FAULT = "the service has an internal error"
    GARBAGE = "the body is not JSON"
    UNRECOGNISED = "the answer has an unknown shape"
    LOOPED = "the service handed out a page token twice"
    ENDLESS = "the service sends empty or identical pages without end"
    REPEATED = "the service handed out a queryId that another export has"


_READING, _CONTENT = "campusgroups_reading", "campusgroups_content"

WAITING: t.Final = frozenset({ResponseKind.QUEUED, ResponseKind.RUNNING})
"""Replies of an export that needs time and nothing else."""

RESUBMITTED: t.Final = frozenset(
    {ResponseKind.FAILED, ResponseKind.CANCELLED, ResponseKind.EXPIRED}
)
"""Replies after which the same range may be submitted again."""

TRANSIENT: t.Final = frozenset({ResponseKind.BUSY, ResponseKind.FAULT, ResponseKind.GARBAGE})
"""Replies that the same request may not get again."""


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """One answer, read.

    Attributes:
        reply: What it means.
        message: The service's `message`, if it sent one.
        query_id: The new export's `queryId`, if accepted.
        results: The page's rows as undecoded JSON, if it is a page: the text of an array.
        token: Token of the next page; `None` on the last page.
        has_rows: Whether the page has rows.
        unknown_keys: Keys of a page beside those that the API documents.
        is_replaced: Whether characters of the body that are none had to be replaced.
    """

    reply: ResponseKind
    message: str | None = None
    query_id: str | None = None
    results: Raw | None = None
    token: str | None = None
    has_rows: bool = False
    unknown_keys: tuple[str, ...] = ()
    is_replaced: bool = False


_Wording: t.TypeAlias = tuple[re.Pattern[str], ResponseKind]


def _wording(pattern: str, reply: ResponseKind) -> _Wording:
    return re.compile(pattern, re.IGNORECASE), reply


# "Query execution failed", "Query execution was cancelled", and a 200 that says "Error ...".
_QUERY_FAILED = r"\bexecution failed\b|\bquery (?:has )?failed\b"
_FAILED = _wording(rf"^\s*error\b|{_QUERY_FAILED}", ResponseKind.FAILED)
_CANCELLED = _wording(r"\bcancel+ed\b", ResponseKind.CANCELLED)

# What a message may say, the first that fits: of a 5xx to a POST and to a GET, of an accepted POST,
# of a 200 to a GET without and with rows.
_IN_FAULT: t.Final = (_CANCELLED, _wording(_QUERY_FAILED, ResponseKind.FAILED))
_IN_SUBMIT_FAULT: t.Final = (
    *_IN_FAULT,
    _wording(r"\berror parsing (?:start|end) date\b", ResponseKind.REJECTED),
)
_IN_SUBMITTED: t.Final = (_FAILED,)
_IN_RETRIEVED: t.Final = (
    _CANCELLED,
    _FAILED,
    _wording(r"\b(?:queued|waiting|pending)\b", ResponseKind.QUEUED),
    _wording(
        r"\b(?:running|executing|accepted|processing|in progress"
        r"|not (?:yet )?(?:complete|completed|done|finished|ready))\b",
        ResponseKind.RUNNING,
    ),
    _wording(
        r"\bno (?:data|records?|results?|rows?)\b|\b(?:complete|completed|done|finished|ok"
        r"|succeeded|success|successful|successfully)\b",
        ResponseKind.PAGE,
    ),
)
_BESIDE_ROWS: t.Final = (
    _CANCELLED,
    _wording(
        r"\b(?:aborted|error|exception|fail|failed|failure|incomplete|timed out|truncated)\b",
        ResponseKind.FAILED,
    ),
)

_BY_STATUS: t.Final[dict[int, ResponseKind]] = {
    HTTPStatus.UNAUTHORIZED: ResponseKind.DENIED,
    HTTPStatus.FORBIDDEN: ResponseKind.DENIED,
    HTTPStatus.GONE: ResponseKind.CANCELLED,
    HTTPStatus.REQUEST_TIMEOUT: ResponseKind.BUSY,
    HTTPStatus.TOO_MANY_REQUESTS: ResponseKind.BUSY,
}
_RETRIEVE_BY_STATUS: t.Final[dict[int, ResponseKind]] = {
    HTTPStatus.CREATED: ResponseKind.QUEUED,
    HTTPStatus.ACCEPTED: ResponseKind.RUNNING,
    HTTPStatus.BAD_REQUEST: ResponseKind.EXPIRED,
    HTTPStatus.NOT_FOUND: ResponseKind.EXPIRED,
}


def classify(  # noqa: PLR0911 - a table: one return a row
    method: str, status: int, content: Buffer
) -> ParsedResponse:
    """Say what an answer means.

    | status | body | meaning |
    | --- | --- | --- |
    | 2xx to a POST | `queryId` | accepted |
    | 201, 202 to a GET | any | queued, running |
    | 200 | an `error` that is not empty | failed |
    | 200 to a GET | `Results` has rows, and a message that speaks of a failure | failed |
    | 200 to a GET | no rows, but a message: by its wording queued, running, failed or cancelled; an
      empty page if it says that there is no data or that all went well; else unrecognised |
    | 200 to a GET | `Results` is an array | a page; the last one has no token, or an empty one |
    | 200 | not JSON | garbage, which is the transport's fault |
    | 2xx | anything else | unrecognised; never an empty page |
    | 3xx | any | redirected |
    | 401, 403 | any | denied |
    | 408, 429 | any | busy |
    | 410 | any | cancelled |
    | 400, 404 to a GET | any | expired |
    | other 4xx | any | rejected |
    | 5xx | the message says that the query failed or was cancelled | failed, cancelled |
    | 5xx to a POST | the message says that a date could not be parsed | rejected |
    | other 5xx | any | the transport's fault |

    Keys count whatever their case and with or without underscores. Of two spellings of a key the
    one that is not empty counts; if both are filled and differ, the answer is unrecognised.

    Sources: specification 1.1, `responses` of GET and POST; the document, "Date Ranges and
    Pagination"; 403 and the message-only 200 are reports of public clients.

    Args:
        method: `POST` for a submitted export, `GET` for anything asked of it later.
        status: HTTP status.
        content: The whole body.

    Returns:
        The meaning, with what the body holds for the next step.
    """
    is_submit = method == "POST"
    body, fault, is_replaced = _decode(content)
    fields, unknown_keys = _fields(body or {})
    message = _text(fields.get("error")) or _text(fields.get("message"))

    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        wordings = _IN_SUBMIT_FAULT if is_submit else _IN_FAULT
        return ParsedResponse(_said(message, wordings) or ResponseKind.FAULT, message)
    if reply := _BY_STATUS.get(status):
        return ParsedResponse(reply, message)
    if not is_submit and (reply := _RETRIEVE_BY_STATUS.get(status)):
        return ParsedResponse(reply, message)
    if status >= HTTPStatus.BAD_REQUEST:
        return ParsedResponse(ResponseKind.REJECTED, message)
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return ParsedResponse(ResponseKind.REDIRECTED, message)
    if body is None:
        return ParsedResponse(fault)
    if fields is _AMBIGUOUS:
        return ParsedResponse(ResponseKind.UNRECOGNISED)
    reading = _read_fields(fields, message, is_submit=is_submit, is_ok=status == HTTPStatus.OK)
    return replace(reading, unknown_keys=unknown_keys, is_replaced=is_replaced)


def _read_fields(
    fields: Mapping[str, Raw], message: str | None, *, is_submit: bool, is_ok: bool
) -> ParsedResponse:
    if _is_filled(fields.get("error"), _NO_ERROR):
        return ParsedResponse(ResponseKind.FAILED, message)
    if is_submit:
        return _read_submitted(fields, message)
    return (
        _read_retrieved(fields, message)
        if is_ok
        else ParsedResponse(ResponseKind.UNRECOGNISED, message)
    )


_FIELDS: t.Final[dict[str, str]] = {
    "results": "results",
    "nexttoken": "token",
    "message": "message",
    "queryid": "query_id",
    "error": "error",
    "errors": "error",
    "errormessage": "error",
}
"""Known keys of a body without underscores and in lower case, and what they stand for."""

_AMBIGUOUS: t.Final[Mapping[str, Raw]] = {}
"""The fields of a body in which two spellings of a key have different values."""

_EMPTY = re.compile(rb'\s*(?:null|""|\[\s*\])\s*')
_NO_TOKEN = re.compile(rb'\s*(?:null|"")\s*')
_NO_ERROR = re.compile(rb'\s*(?:null|""|\[\s*\]|\{\s*\}|false|0)\s*')


def _is_filled(value: Raw | None, empty: re.Pattern[bytes] = _EMPTY) -> bool:
    return value is not None and not empty.fullmatch(memoryview(value))


def _fields(body: Mapping[str, Raw]) -> tuple[Mapping[str, Raw], tuple[str, ...]]:
    """Return the known fields of a body, and the keys that are not known."""
    fields: dict[str, Raw] = {}
    unknown: list[str] = []
    for key, value in body.items():
        name = _FIELDS.get(key.replace("_", "").lower())
        if name is None:
            unknown.append(key)
        elif not _is_filled(other := fields.get(name)):
            if other is None or _is_filled(value):
                fields[name] = value
        elif name != "error" and _is_filled(value) and bytes(value) != bytes(t.cast("Raw", other)):
            return _AMBIGUOUS, ()
    return fields, tuple(unknown)


def _text(value: Raw | None) -> str | None:
    """Return the text of a field; `None` if it is not text, or empty."""
    if value is None:
        return None
    try:
        text = decode_value(value)
    except JsonError:
        return None
    return text if text and isinstance(text, str) else None


def _decode(content: Buffer) -> tuple[Mapping[str, Raw] | None, ResponseKind, bool]:
    """Decode a body, or say why it has none; say whether characters had to be replaced."""
    try:
        body, is_replaced = decode_body(content)
    except UnexpectedJsonError:
        return None, ResponseKind.UNRECOGNISED, False
    except InvalidJsonError:
        return None, ResponseKind.GARBAGE, False
    return body, ResponseKind.UNRECOGNISED, is_replaced


def _said(message: str | None, wordings: tuple[_Wording, ...]) -> ResponseKind | None:
    """Find what a message says."""
    return next((reply for pattern, reply in wordings if message and pattern.search(message)), None)


def _read_submitted(fields: Mapping[str, Raw], message: str | None) -> ParsedResponse:
    if query_id := _text(fields.get("query_id")):
        return ParsedResponse(ResponseKind.ACCEPTED, message, query_id=query_id)
    return ParsedResponse(_said(message, _IN_SUBMITTED) or ResponseKind.UNRECOGNISED, message)


def _read_retrieved(fields: Mapping[str, Raw], message: str | None) -> ParsedResponse:
    results = fields.get("results")
    has_rows = _is_filled(results)
    if has_rows:
        reply = _said(message, _BESIDE_ROWS) or ResponseKind.PAGE
    elif _is_filled(fields.get("message")):
        reply = _said(message, _IN_RETRIEVED) or ResponseKind.UNRECOGNISED
    else:
        reply = ResponseKind.PAGE
    if reply is not ResponseKind.PAGE:
        return ParsedResponse(reply, message)
    token = fields.get("token")
    is_array = results is not None and bytes(memoryview(results)[:1]) == b"["
    if not is_array or (_is_filled(token, _NO_TOKEN) and _text(token) is None):
        return ParsedResponse(ResponseKind.UNRECOGNISED, message)
    return ParsedResponse(
        ResponseKind.PAGE, message, results=results, token=_text(token), has_rows=has_rows
    )


def cache_parsed(response: requests.Response, content: Buffer) -> ParsedResponse:
    """Read a response whose body came another way than by `response.content`.

    Args:
        response: A response, its request attached.
        content: Its whole body.

    Returns:
        What it means, and what `read` and `describe` go by from now on.
    """
    reading = classify(response.request.method or "GET", response.status_code, content)
    vars(response).update({_READING: reading, _CONTENT: content})
    return reading


def read(response: requests.Response) -> ParsedResponse:
    """Read a response once, however often it is asked.

    Args:
        response: A whole response, its request attached.

    Returns:
        What it means; remembered on the response, for a page may have megabytes.
    """
    reading = vars(response).get(_READING)
    return (
        reading if isinstance(reading, ParsedResponse) else cache_parsed(response, response.content)
    )


_TELLABLE_WORDS: t.Final = (
    "a accepted access after again allowed an and api are argument at attempt authorized back "
    "bad be been before body bucket by bytes canceled canceling cancelled cancelling cannot "
    "capacity client closed cluster code column columns completed concurrent connection "
    "continuation could count cursor "
    "data database date denied deserialize did does doesn't driver due during each empty end "
    "endpoint engine error errors exceeded exceeding exceeds exception execute executed "
    "executing execution expired failed failing failure fetch field fields file files for "
    "forbidden format found from function gateway generic getting has have id in incorrect "
    "insufficient internal invalid is it its key large later left length limit limits line "
    "link links long made making malformed many marker match maximum memory message method minimum "
    "mismatched more "
    "missing moved must next no node not null number object of offset on only operation or out "
    "output "
    "over page parameter parameters parse parsing partition pending permission please "
    "position primary problem process queries query queryid querying queue queued range rate "
    "reached read refused rejected remote request requested requests required reset resolved "
    "resource resources response result results retrieving retry row rows running scale "
    "schema seconds server service sessions set size slow source split start started state "
    "status stopped storage syntax system table task temporarily than that the this throttled "
    "throttling time timed timeout to token tokens too total try type unable unauthorized "
    "unavailable unexpected unknown updatedend updatedon updatedstart updating validating "
    "value values waiting was were while will with within worker wrong you your "
)
"""The words of a message that may be told: those of specification 1.1 (`responses`) and those that
query engines speak of themselves in. Any other may be a student's name."""

_TELLABLE: t.Final = frozenset(_TELLABLE_WORDS.split())
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_LONGEST_QUOTE: t.Final = 300


def quote(message: str) -> str:
    """Quote a message of the service as far as it speaks of the query, not of people.

    Args:
        message: For instance `Query failed: column 'Jane' not found`.

    Returns:
        The words that may be told; everything else, numbers included, as `*`:
        `Query failed: column '*' not found`.
    """
    parts, at = [], 0
    for word in _WORD.finditer(message):
        is_tellable = word[0].lower() in _TELLABLE
        parts += [_untold(message[at : word.start()]), word[0] if is_tellable else "*"]
        at = word.end()
    told = "".join([*parts, _untold(message[at:])])
    return re.sub(r"\*(?:[^\w\s,:;()'\"]*\*)+", "*", told).strip()[:_LONGEST_QUOTE]


def _untold(between: str) -> str:
    """Leave of what is between two words only blanks and plain punctuation."""
    return re.sub(r"\s+", " ", re.sub(r"[^\s,.:;()'\"_-]+", "*", between))


_WORD_OF_KEY = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def redact_keys(keys: Iterable[str]) -> str:
    """Quote keys of an answer as far as they speak of the answer, not of people.

    Args:
        keys: For instance `nextPage`, `Jane`.

    Returns:
        At most five keys that are made of words that may be told, and how many others there are:
        `nextPage, 1 other`.
    """
    keys = list(keys)
    told = [key for key in keys if _is_told(key)][:5]
    others = len(keys) - len(told)
    return ", ".join([*told, *([f"{others} other{'s' * (others > 1)}"] if others else [])])


def _is_told(key: str) -> bool:
    words = _WORD_OF_KEY.findall(key)
    return "".join(words) == key.replace("_", "") and all(
        word.lower() in _TELLABLE for word in words
    )


def describe(response: requests.Response) -> str:
    """Describe an answer without telling anything of a student.

    Args:
        response: A whole response, its request attached.

    Returns:
        For instance `HTTP 500: "Query execution failed"`, its message as `quote` gives it, or `HTTP
        200, an object of Results: null` without a message.
    """
    status, message = f"HTTP {response.status_code}", read(response).message
    if message is None:
        return f"{status}, {describe_body(vars(response)[_CONTENT])}"
    return f'{status}: "{quote(message)}"'
