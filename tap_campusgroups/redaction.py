"""What a log line or an error may show of the service's text; everything else is hidden.

Messages, keys and names of fields can contain personal data. The rule is an allowlist: what the
specification writes, and names that are spelled like those of the API.
"""

from __future__ import annotations

import re
import typing as t

if t.TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN_NAME: t.Final = "(a name)"
MAX_NAMES: t.Final = 5  # names in a log line
MAX_SHOWN: t.Final = 100  # characters of a text

_MAX_NAME_LENGTH: t.Final = 40
_FIELD_NAME = re.compile(r"[a-z]+(?:[A-Z][a-z]*)*[0-9]?")  # as all names of the specification

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


def printable(text: str) -> str:
    """Return a text from outside for a log line: escaped and at most `MAX_SHOWN` characters long.

    A line break would forge a log line, and a terminal obeys other control characters.
    """
    start = text[:MAX_SHOWN]
    shown = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in start
    )
    return shown if text == start else f"{shown}... ({len(text)} characters)"


def safe_field_name(name: str) -> str:
    """Return `HIDDEN_NAME` for a name that is not spelled like a field of the API."""
    is_safe = len(name) <= _MAX_NAME_LENGTH and _FIELD_NAME.fullmatch(name)
    return name if is_safe else HIDDEN_NAME


def redact_keys(keys: Iterable[str]) -> str:
    """Return the keys of a response body for a log line; those that may be data are hidden."""
    # Keys of a body may begin with a capital letter, names of fields do not.
    shown = [
        HIDDEN_NAME if safe_field_name(key[:1].lower() + key[1:]) == HIDDEN_NAME else key
        for key in keys
    ]
    names = list(dict.fromkeys(shown))
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def redact_message(message: str) -> str:
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
