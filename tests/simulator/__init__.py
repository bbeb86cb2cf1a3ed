"""A simulator of the CampusGroups Data Export API, for tests, benchmarks and the demo.

It follows specification 1.1 of the service and shares no code with the tap; of the project it reads
only the JSON schemas of the streams. See the README in this folder.
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
    RateLimit,
    RawBody,
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
    RepeatQueryId,
    SlowResponse,
    WrongContentLength,
)
from .request_context import Phase
from .service import RecordedRequest
from .simulator import Simulator, seconds_between

__all__ = [
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
    "RateLimit",
    "RawBody",
    "RecordedRequest",
    "Redirect",
    "RepeatQueryId",
    "RepeatToken",
    "Row",
    "Simulator",
    "SlowResponse",
    "Status",
    "StillRunning",
    "TokenKey",
    "TruncatedBody",
    "WrongContentLength",
    "seconds_between",
]
