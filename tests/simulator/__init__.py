"""A simulator of the CampusGroups Data Export API: the service's double for tests and benchmarks.

It is written from specification 1.1 of the service and shares no code with the tap; of the project
it reads the streams' JSON schemas only.
"""

from __future__ import annotations

from .dataset import Dataset, Row
from .faults import (
    CancelQuery,
    ConnectionReset,
    EmptyPage,
    EmptyToken,
    FailQuery,
    Fault,
    FaultType,
    Hang,
    HtmlPage,
    JsonBody,
    MessageOnly,
    NullToken,
    RandomBytes,
    Redirect,
    RepeatToken,
    Status,
    StillRunning,
    TokenKey,
    TruncatedBody,
)
from .hostile_faults import (
    EndlessBody,
    EndlessPages,
    ExtraKeys,
    RawBody,
    RepeatQueryId,
    SlowResponse,
    WrongContentLength,
)
from .queries import Timing
from .request_context import Phase
from .service import DEFAULT_SCHOOL, DEFAULT_SECRET, RecordedRequest
from .simulator import Simulator

__all__ = [
    "DEFAULT_SCHOOL",
    "DEFAULT_SECRET",
    "Body",
    "CancelQuery",
    "ConnectionReset",
    "Dataset",
    "EmptyPage",
    "EmptyToken",
    "EndlessBody",
    "EndlessPages",
    "ExtraKeys",
    "FailQuery",
    "Fault",
    "FaultType",
    "Hang",
    "HtmlPage",
    "JsonBody",
    "MessageOnly",
    "NullToken",
    "Phase",
    "RandomBytes",
    "RawBody",
    "RecordedRequest",
    "Redirect",
    "RepeatQueryId",
    "RepeatToken",
    "Reset",
    "Row",
    "Simulator",
    "SlowResponse",
    "Status",
    "StillRunning",
    "Timing",
    "TokenKey",
    "Truncated",
    "TruncatedBody",
    "WrongContentLength",
]
