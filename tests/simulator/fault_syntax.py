"""Faults as text, for the command line: `events: HTTP 503 on page 2, 3 times`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .faults import (
    CancelQuery,
    ConnectionReset,
    EmptyPage,
    FailQuery,
    Hang,
    HtmlPage,
    MessageOnly,
    RandomBytes,
    RepeatToken,
    Status,
    TruncatedBody,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .faults import Fault, FaultType
    from .request_context import Phase

FAULTS: Mapping[str, tuple[FaultType, str]] = {
    "reset": (ConnectionReset(), "the connection is reset before the response"),
    "truncated": (TruncatedBody(), "the connection closes halfway through the body"),
    "hang": (Hang(), "no response until the client gives up"),
    "html": (HtmlPage(), "200 with an HTML page, as from a proxy"),
    "garbage": (RandomBytes(), "200 with random bytes"),
    "message": (MessageOnly(), '200 with {"message": ...} while the query runs'),
    "query failed": (FailQuery(), "the query fails: 500 from then on"),
    "query cancelled": (CancelQuery(), "the query is cancelled: 410 from then on"),
    "empty page": (EmptyPage(), "an empty page with a token before the requested page"),
    "repeated token": (RepeatToken(), "a page with the token that was just used"),
}
"""Fault types by name, besides `HTTP <status>`, and their effect."""

_SYNTAX = re.compile(
    r"(?:(?P<stream>\w+):\s*)?"
    r"(?:HTTP (?P<status>[1-5]\d\d)|(?P<name>[a-z]+(?: [a-z]+)??))"
    r"(?: on (?:(?P<phase>submit|poll)|page (?P<page>[1-9]\d*)))?"
    r"(?:, (?:(?P<times>[1-9]\d*) times|(?P<always>always)))?"
)

SYNTAX_HELP = f"""\
faults:
  [STREAM:] FAULT [on submit|on poll|on page N] [, N times|, always]

  A fault hits the first matching request, N requests, or all of them. Without STREAM and "on ..."
  it matches any request. "page N" counts the pages of all exports of the stream.

  {"HTTP STATUS":16} any status, such as HTTP 503
{chr(10).join(f"  {name:16} {text}" for name, (_, text) in FAULTS.items())}

examples:
  --fault "events: HTTP 503 on page 2"
  --fault "users: query failed"
  --fault "HTTP 429 on submit, 3 times"
  --fault "checkins: empty page on page 2, always"
"""


def parse_fault(text: str) -> Fault:
    """Return the fault that a text describes; raise ValueError if it is not valid."""
    found = _SYNTAX.fullmatch(text.strip())
    if found is None or (found["name"] is not None and found["name"] not in FAULTS):
        message = f"{text!r} is not a fault"
        raise ValueError(message)
    fault_type = Status(int(found["status"])) if found["status"] else FAULTS[found["name"]][0]
    phase, after = _phase(found)
    times = None if found["always"] else int(found["times"] or 1)
    return fault_type.on(found["stream"], phase, times=times, after=after)


def _phase(found: re.Match[str]) -> tuple[Phase | None, int]:
    """Return the phase, and how many of its requests come before the one that is meant."""
    match found["phase"], found["page"]:
        case None, None:
            return None, 0
        case "submit", _:
            return "submit", 0
        case "poll", _:
            return "poll", 0
        case _, "1":
            return "first_page", 0
    return "later_page", int(found["page"]) - 2
