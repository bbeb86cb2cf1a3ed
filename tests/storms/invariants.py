"""What must hold in every run, one function each, and the target and ledger that tell."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from jsonschema import Draft202012Validator

from tests.support.harness import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from tests.storms.run import Ended

SENTINEL = "sentinel-7b41"
"""Part of every value that stands for personal data."""

ODD_ID = 99
"""Id of a row that only an odd page has."""

EXIT_CODES = {0, 1, 129, 130, 143}
SECONDS_PER_WINDOW = 4 * 3600


class Version(NamedTuple):
    """A row between two changes.

    Attributes:
        at: `updatedOn` in canonical form.
    """

    id: int
    at: str


class Loaded(NamedTuple):
    """A row in the target."""

    at: str
    table_version: int | None


@dataclass(frozen=True)
class Plan:
    """What the tap was asked to do in a run.

    Attributes:
        before: Rows by stream before the run.
        after: Rows by stream after it.
        streams: The selected streams that no stream map drops.
        full: Streams with full reads.
        start: The setting `start_date` in canonical form; empty if unset.
        end: The latest `updatedOn` that is in range, in canonical form.
        windows: Maximum number of windows of the run.
        service_time: Time of the service at the end of the run.
    """

    before: Mapping[str, set[Version]]
    after: Mapping[str, set[Version]]
    streams: set[str]
    full: set[str]
    start: str
    end: str
    windows: int
    service_time: datetime

    def lasting(self, stream: str) -> set[Version]:
        """Return the rows that did not change during the run."""
        return self.before[stream] & self.after[stream]


@dataclass
class Ledger:
    """A target that upserts by id and hard-deletes, and what the state is worth.

    Attributes:
        tables: Rows by stream and id.
        emitted: What was emitted since the state was last lost.
        first_start: `start_date` of the run that gave a stream its bookmark.
        state: The last state.
    """

    tables: dict[str, dict[int, Loaded]] = field(default_factory=dict)
    emitted: dict[str, set[Version]] = field(default_factory=dict)
    first_start: dict[str, str] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    def lose_state(self) -> None:
        """Forget the state; the target stays."""
        self.state, self.emitted, self.first_start = {}, {}, {}

    def bookmark(self, stream: str) -> str:
        """Return a stream's bookmark, or an empty text."""
        return str(self.entry(stream).get("replication_key_value", ""))

    def entry(self, stream: str) -> dict[str, Any]:
        """Return a stream's entry in the state."""
        found: dict[str, Any] = self.state.get("bookmarks", {}).get(stream, {})
        return found


def check(ended: Ended, plan: Plan, ledger: Ledger) -> None:
    """Load the output of a run and check everything; raise AssertionError."""
    exit_code_is_known(ended)
    run_ends_in_time(ended, plan)
    log_has_no_traceback_and_no_personal_value(ended)
    messages = list(lines_are_whole(ended))
    state_is_last(messages)
    records_are_valid(messages)
    nothing_comes_of_other_streams(messages, plan)
    before = ledger.state
    for message in messages:
        stream = message.get("stream", "")
        if message["type"] == "RECORD":
            record = message["record"]
            version = Version(record["id"], record["updatedOn"] or "")
            ledger.emitted.setdefault(stream, set()).add(version)
            row = Loaded(version.at, message.get("version"))
            ledger.tables.setdefault(stream, {})[version.id] = row
        elif message["type"] == "ACTIVATE_VERSION":
            activation_removes_no_row(stream, message["version"], plan, ledger, before)
        elif message["type"] == "STATE":
            bookmark_tells_the_truth(message["value"], plan, ledger)
    if ended.code == 0:
        exit_code_0_means_every_row(plan, ledger)


def exit_code_is_known(ended: Ended) -> None:
    """The exit code is one of those that docs and schedulers know."""
    assert ended.code in EXIT_CODES, f"exit code {ended.code}: {ended.error!r}"


def run_ends_in_time(ended: Ended, plan: Plan) -> None:
    """Whatever the service does, the run ends."""
    limit = SECONDS_PER_WINDOW * max(plan.windows, 1)
    assert not ended.is_endless, "endless requests"
    assert ended.seconds < limit, f"{ended.seconds / 3600:.1f} hours for {plan.windows} windows"


def log_has_no_traceback_and_no_personal_value(ended: Ended) -> None:
    """A log line is one of ours, without what the service or the rows say, at any level."""
    for record in ended.log:
        text = record.getMessage()
        assert record.exc_info is None, f"traceback in the log: {text}"
        assert "please report this line" not in text.lower() or "Undocumented" in text, text
        assert SENTINEL not in text, f"personal value or secret in the log: {text}"
    assert SENTINEL not in str(ended.error), f"personal value or secret in: {ended.error}"


def lines_are_whole(ended: Ended) -> Iterator[dict[str, Any]]:
    """Every line of the output is a message; yield them."""
    assert ended.output[-1:] in {b"", b"\n"}, "the last line is cut"
    for line in ended.output.splitlines():
        yield json.loads(line)


def state_is_last(messages: Iterable[Mapping[str, Any]]) -> None:
    """No RECORD follows the last STATE: some targets forget a state that records follow."""
    kinds = [message["type"] for message in messages if message["type"] != "SCHEMA"]
    assert not kinds or kinds[-1] == "STATE", f"{kinds[-1]} after the last STATE"


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def records_are_valid(messages: Iterable[Mapping[str, Any]]) -> None:
    """Every RECORD is valid against the last SCHEMA of its stream."""
    schemas: dict[str, Draft202012Validator] = {}
    for message in messages:
        if message["type"] == "SCHEMA":
            schemas[message["stream"]] = _validator(json.dumps(message["schema"]))
        elif message["type"] == "RECORD":
            for error in schemas[message["stream"]].iter_errors(message["record"]):
                msg = f"invalid RECORD of {message['stream']}: {error.json_path} {error.message}"
                raise AssertionError(msg)


def nothing_comes_of_other_streams(messages: Iterable[Mapping[str, Any]], plan: Plan) -> None:
    """A stream that is deselected or dropped has no messages."""
    streams = {message["stream"] for message in messages if message["type"] == "RECORD"}
    assert streams <= plan.streams, f"records of {streams - plan.streams}"


def activation_removes_no_row(
    stream: str, version: int, plan: Plan, ledger: Ledger, before: Mapping[str, Any]
) -> None:
    """ACTIVATE_VERSION follows all rows of its version; the target then equals the source."""
    table = ledger.tables.get(stream, {})
    removed = {id_ for id_, row in table.items() if (row.table_version or 0) < version}
    last = before.get("bookmarks", {}).get(stream, {}).get("full_read", {})
    # After an earlier read with this `start_date`, which warned that the next one removes them.
    announced = plan.start if last.get("start") == plan.start else ""
    for id_, at in sorted(plan.lasting(stream)):
        if id_ in removed:
            assert at < announced, f"{stream} {id_} ({at}) removed"
        else:
            assert id_ in table or at < plan.start, f"{stream} {id_} ({at}) was not read"
    for id_ in removed:
        del table[id_]
    known = {ODD_ID} | {row.id for row in plan.before[stream] | plan.after[stream]}
    assert table.keys() <= known, f"{stream}: deleted rows stay: {table.keys() - known}"


def bookmark_tells_the_truth(state: dict[str, Any], plan: Plan, ledger: Ledger) -> None:
    """A bookmark never moves back, and never passes a row that was not emitted."""
    old, ledger.state = {name: ledger.bookmark(name) for name in plan.before}, state
    for stream, was in old.items():
        bookmark = ledger.bookmark(stream)
        assert bookmark >= was, f"the bookmark of {stream} moves back from {was} to {bookmark}"
        if bookmark == was:
            continue
        assert stream in plan.streams - plan.full, f"the bookmark of {stream} moves"
        assert bookmark <= canonical(plan.service_time), f"{stream}: {bookmark} is in the future"
        start = ledger.first_start.setdefault(stream, plan.start)
        missing = {
            row
            for row in plan.lasting(stream) - ledger.emitted.get(stream, set())
            if start <= row.at <= bookmark
        }
        assert not missing, f"the bookmark of {stream} ({bookmark}) passes {sorted(missing)}"


def exit_code_0_means_every_row(plan: Plan, ledger: Ledger) -> None:
    """After exit code 0, every row in range has been emitted and is in the target."""
    for stream in sorted(plan.streams):
        start = plan.start if stream in plan.full else ledger.first_start.get(stream, plan.start)
        rows = {row for row in plan.lasting(stream) if start <= row.at <= plan.end}
        missing = rows - ledger.emitted.get(stream, set())
        assert not missing, f"exit code 0 without {stream} {sorted(missing)}"
        table = ledger.tables.get(stream, {})
        older = {row for row in rows if row.id not in table or table[row.id].at < row.at}
        assert not older, f"exit code 0, but the target lacks {stream} {sorted(older)}"


def target_equals_source(rows: Mapping[str, set[Version]], ledger: Ledger) -> None:
    """After a quiet run, the target has the last version of every row."""
    for stream, versions in rows.items():
        table = ledger.tables.get(stream, {})
        missing = versions - {Version(id_, row.at) for id_, row in table.items()}
        assert not missing, f"{stream}: the target lacks {sorted(missing)}"
