"""The tap's output that all loaders get: two nights, and short inputs for single questions."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.simulator import Dataset, Simulator
from tests.support.harness import catalog_of, read_in_full, settings_for
from tests.support.pipeline import bare_environment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Record: TypeAlias = "dict[str, Any]"
Schema: TypeAlias = "Mapping[str, Any]"

NEWEST: Final = datetime(2025, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
_SPAN: Final = timedelta(days=20)
_NIGHTS: Final = (NEWEST + timedelta(hours=1), NEWEST + timedelta(hours=25))
"""`end_date` of the two runs. The second one reads the last 48 hours of the first again."""

EMPTY: Final = "tracks"
"""The stream without rows."""
FULL: Final = "rsvp"
"""The stream that is read in full, for ACTIVATE_VERSION."""
TWICE: Final = "checkins"
"""The stream of which the second night brings one row in two versions."""
NEW_FIELD: Final = "badges"
"""The stream of which every row has a field that the schema does not declare."""
SHORT: Final = "tags"
"""The stream of the input that is cut off, and of the one with a NUL character."""

_STATE: Final = b'{"type":"STATE"'

_ROWS: Final = 40
_EVENTS: Final = 120
_SPEED_ROWS: Final = 3_000

LONG_TEXT: Final = "Zürich 学生 🎓 " * 6_000
"""Text of more than 100 kB."""

_HARD_VALUES: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    "payments": (
        {
            "transactionDetails": 'tab\t, backslash \\, null \\N, "quotes", \r\n line\u2028 👩🏽‍🎓',
            "itemTitle": "NULL",
            "refundRequest": "",
            "amount": "12345678901234567890.123456789",
            "fee": 0.1,
            "rsvpId": 2**53 + 1,
            "deleted": False,
        },
        {
            "itemTitle": "line\nbreak",
            "refundRequest": "\\n stays two characters",
            "amount": "0.10",
            "fee": "-0.1234567890123456789",
            "quantity": 0,
            "rsvpId": 0,
            "cartItemId": 2**63 - 1,
            "refId": -(2**63) + 1,
        },
    ),
    "budgets": (
        {"totalAllocation": "98765432109876543210.01", "startDate": "0001-01-01"},
        {"totalAllocation": "1234567890123.4567", "startDate": "9999-12-31"},
    ),
    "budget_transactions": ({"amountFromAllocation": "99999999999999999.99"},),
    "groups": (
        {
            "membershipOptions": [
                {"id": 1, "fee": "0.10"},
                {"id": 2, "fee": "0.1234567890123456789"},
            ]
        },
        {"membershipOptions": [], "customFields": None, "country": None},
    ),
    "users": (
        {
            "firstName": "\\N",
            "lastName": "".join(map(chr, range(1, 32))),
            "bio": LONG_TEXT,
            "tags": [],
            "languages": [
                {"id": 1, "name": 'a "quoted", {braced} \\ name\nwith a line'},
                {"id": None, "name": ""},
            ],
            "preferredEmail": {},
        },
    ),
    "events": (
        {"newField": "new", "otherField": {"price": 0.1, "items": [1, None, "", False]}},
        {"capacity": "many", "newFlag": False},
    ),
    "surveys": (
        {"createdOn": "2025-03-04T05:06:07.123456Z"},
        {"createdOn": "2025-03-04T05:06:07"},
        {"createdOn": "1969-12-31 19:00:00.5-05:00"},
        {"createdOn": "0001-01-01T00:00:00Z"},
        {"createdOn": "9999-12-31T23:59:59.999999Z"},
        {"createdOn": "1890-06-01T12:00:00Z"},
        {"createdOn": "2025-03-04T05:06:07+05:30"},
    ),
}
"""Fields of the first rows of some streams that loaders are likely to change."""


_PROBES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "ordinary rows": (SHORT, {}),
    "`_extra`": (SHORT, {"newField": "new"}),
    "date-times without offset": (SHORT, {"createdOn": "2025-03-04T05:06:07"}),
    "the year 1": (SHORT, {"createdOn": "0001-01-01T00:00:00Z"}),
    "the year 9999": (SHORT, {"createdOn": "9999-12-31T23:59:59Z"}),
    "control characters": (SHORT, {"name": "tab\t, line\n"}),
    "text of 100 kB": (SHORT, {"name": LONG_TEXT}),
    "empty text": (SHORT, {"name": ""}),
    "64-bit integers": (SHORT, {"parentId": 2**63 - 1}),
    "decimals": ("payments", {"status": None, "paymentMethod": None, "amount": "0.10"}),
    "objects": ("rooms", {}),
    "arrays": ("rsvp", {"customFields": [{"name": "size", "value": "M"}]}),
    "decimals in arrays": ("groups", {"membershipOptions": [{"fee": "0.10"}]}),
}
"""Stream and fields of rows with one kind of value, for loaders that fail on the nights."""


@dataclass(frozen=True)
class Output:
    """The tap's output in one run."""

    lines: tuple[bytes, ...]

    @property
    def data(self) -> bytes:
        """Everything as it was written."""
        return b"".join(self.lines)

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The messages; decimals keep their digits."""
        return [json.loads(line, parse_float=Decimal) for line in self.lines]

    @property
    def states(self) -> list[Any]:
        """The values of the STATE messages."""
        return [one["value"] for one in self.messages if one["type"] == "STATE"]

    @property
    def schemas(self) -> dict[str, Schema]:
        """The schemas by stream."""
        return {one["stream"]: one["schema"] for one in self.messages if one["type"] == "SCHEMA"}

    @property
    def records(self) -> dict[str, list[Record]]:
        """The records by stream, also of streams without any."""
        found: dict[str, list[Record]] = {stream: [] for stream in self.schemas}
        for message in self.messages:
            if message["type"] == "RECORD":
                found[message["stream"]].append(message["record"])
        return found


class Inputs:
    """The tap's output for loaders, which it emits at first use.

    Args:
        folder: Folder for the tap's files.
        settings: Settings of the tap besides those that every run has.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._run = _Tap(folder, settings)

    @cached_property
    def nights(self) -> tuple[Output, Output]:
        """All streams with hard values; then the overlap, changed rows and new rows."""
        with Simulator(_first_night()) as service:
            first = self._run(service, _NIGHTS[0])
            _change(service.dataset)
            state = first.states[-1]
            return first, self._run(service, _NIGHTS[1], state=state, export_window_days=1)

    @cached_property
    def full(self) -> tuple[Output, Output]:
        """Two full reads of one stream; before the second one, a row vanished."""
        rows = Dataset({FULL: 20}, newest=NEWEST)
        with Simulator(rows) as service:
            before = self._run(service, None, streams=[FULL])
            del rows[FULL][4]
            return before, self._run(service, None, streams=[FULL], state=before.states[-1])

    @cached_property
    def nul(self) -> Output:
        """Two rows, one of them with a NUL character."""
        rows = Dataset({SHORT: 2}, newest=NEWEST)
        rows[SHORT][1].update(name="a NUL \0 here")
        return self._only(rows)

    @cached_property
    def cut(self) -> Output:
        """Five rows, STATE, five rows, and a line that is cut in the middle."""
        lines = self._only(Dataset({SHORT: 11}, newest=NEWEST)).lines
        schema, *records = (line for line in lines if not line.startswith(_STATE))
        states = [line for line in lines if line.startswith(_STATE)]
        last = records[10][: len(records[10]) // 2]
        return Output((schema, *records[:5], states[-1], *records[5:10], last))

    @cached_property
    def speed(self) -> Output:
        """Many rows of one stream."""
        return self._only(Dataset({"events": _SPEED_ROWS}, newest=NEWEST))

    @cached_property
    def probes(self) -> dict[str, Output]:
        """Three rows of one kind of value each, by its name."""
        found = {}
        for name, (stream, values) in _PROBES.items():
            rows = Dataset({stream: 3}, newest=NEWEST)
            for row in rows[stream]:
                row.update(deepcopy(dict(values)))
            found[name] = self._only(rows)
        return found

    def _only(self, rows: Dataset) -> Output:
        """Run the tap for the streams that have rows."""
        with Simulator(rows) as service:
            streams = [stream for stream, count in rows.counts.items() if count]
            return self._run(service, _NIGHTS[0], streams=streams)


def _first_night() -> Dataset:
    counts = dict.fromkeys(Dataset(0, newest=NEWEST).streams, _ROWS)
    dataset = Dataset(counts | {"events": _EVENTS, EMPTY: 0}, newest=NEWEST, span=_SPAN)
    for stream, rows in _HARD_VALUES.items():
        for row, values in zip(dataset[stream], rows, strict=False):
            row.update(deepcopy(dict(values)))
    for row in dataset[NEW_FIELD]:
        row["newField"] = f"new {row['id']}"
    return dataset


def _change(dataset: Dataset) -> None:
    """Change three rows of every stream, one of them in every field, and add three."""
    later = NEWEST + timedelta(hours=3)
    for stream in dataset.streams:
        rows = dataset[stream]
        if stream == EMPTY:
            continue
        count = len(rows)
        for number in (2, 10, 20):
            # The other row's values, so that values become null and the other way round.
            rows[number].update({**rows[number + 1], "id": rows[number]["id"]})
        new = {"newField": "new"} if stream == NEW_FIELD else {}
        rows += ({**dataset.row(stream, count + number), **new} for number in (1, 2, 3))
        for row in (rows[2], rows[10], rows[20], *rows[count:]):
            row["updatedOn"] = f"{later:%FT%TZ}"
    for row in (dataset["payments"][2], dataset["payments"][10]):
        row.update(amount="12345678901234567890.987654321", itemTitle="changed")
    older = dataset[TWICE][20]
    newer = later + timedelta(hours=20)  # in the next window, which the tap emits later
    dataset[TWICE].append({**older, "method": "newest", "updatedOn": f"{newer:%FT%TZ}"})


@dataclass(frozen=True)
class _Tap:
    folder: Path
    settings: Mapping[str, Any]

    def __call__(
        self,
        service: Simulator,
        end: datetime | None,
        *,
        state: Any = None,
        streams: list[str] | None = None,
        **more: Any,
    ) -> Output:
        """Run the tap's command line up to a point in time; without one, read in full."""
        catalog = catalog_of(service.dataset.streams if streams is None else streams)
        if streams is not None:
            catalog["streams"] = [
                one for one in catalog["streams"] if one["tap_stream_id"] in streams
            ]
        if end is None:
            read_in_full(catalog, *service.dataset.streams)
        else:
            more["end_date"] = f"{end:%FT%TZ}"
        settings = settings_for(service, **self.settings, **more)
        files = {"config": settings, "catalog": catalog, "state": state or {}}
        arguments = []
        for name, content in files.items():
            path = self.folder / f"{name}.json"
            path.write_text(json.dumps(content))
            arguments += [f"--{name}", str(path)]
        finished = subprocess.run(
            [sys.executable, "-m", "tap_campusgroups", *arguments],
            env=bare_environment(self.folder),
            capture_output=True,
            check=False,
            timeout=300,
        )
        if finished.returncode:
            raise RuntimeError(finished.stderr.decode())
        return Output(tuple(finished.stdout.splitlines(keepends=True)))
