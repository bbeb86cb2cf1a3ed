"""A simulator of the CampusGroups Data Export API: the service's double for tests and benchmarks.

It is written from specification 1.1 of the service and shares no code with the tap; of the project
it reads the streams' JSON schemas only.
"""

from __future__ import annotations

from .exchanges import Phase
from .faults import (
    CancelQuery,
    EmptyPage,
    FailQuery,
    Fault,
    Garbage,
    Hang,
    Html,
    Kind,
    MessageOnly,
    Redirect,
    RepeatToken,
    Reset,
    Status,
    StillRunning,
    TokenEmpty,
    TokenNull,
    TokenSpelling,
    Truncated,
    WrongJson,
)
from .hostile import Body, Drip, Flood, Misannounced, NewTokens, PageWith, SameQueryId
from .queries import Timing
from .rows import Dataset, Row
from .service import DEFAULT_SCHOOL, DEFAULT_SECRET, RecordedRequest
from .simulator import Simulator

__all__ = [
    "DEFAULT_SCHOOL",
    "DEFAULT_SECRET",
    "Body",
    "CancelQuery",
    "Dataset",
    "Drip",
    "EmptyPage",
    "FailQuery",
    "Fault",
    "Flood",
    "Garbage",
    "Hang",
    "Html",
    "Kind",
    "MessageOnly",
    "Misannounced",
    "NewTokens",
    "PageWith",
    "Phase",
    "RecordedRequest",
    "Redirect",
    "RepeatToken",
    "Reset",
    "Row",
    "SameQueryId",
    "Simulator",
    "Status",
    "StillRunning",
    "Timing",
    "TokenEmpty",
    "TokenNull",
    "TokenSpelling",
    "Truncated",
    "WrongJson",
]
