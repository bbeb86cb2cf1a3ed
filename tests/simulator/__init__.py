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
    FailQuery,
    Fault,
    FaultType,
    Hang,
    HtmlPage,
    JsonBody,
    RandomBytes,
    RawBody,
    Redirect,
    RepeatToken,
    Status,
    StillRunning,
    TruncatedBody,
)
from .hostile_faults import (
    EndlessBody,
    EndlessPages,
    RepeatQueryId,
    SlowResponse,
    WrongContentLength,
)
from .request_context import Phase
from .service import RecordedRequest
from .simulator import Simulator

__all__ = [
    "CancelQuery",
    "ConnectionReset",
    "Dataset",
    "EmptyPage",
    "EndlessBody",
    "EndlessPages",
    "FailQuery",
    "Fault",
    "FaultType",
    "Hang",
    "HtmlPage",
    "JsonBody",
    "Phase",
    "RandomBytes",
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
    "TruncatedBody",
    "WrongContentLength",
]
