"""What must hold in every run, one function each, and the target and ledger that tell."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from jsonschema import Draft202012Validator

from tests.storms.run import MAX_REQUESTS
from tests.support.fake_target import bookmark_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.storms.run import Ended

SENTINEL = "sentinel-7b41"
"""Part of every value that stands for a secret or for personal data."""

ODD_ID = 99
"""Id of a row that only an odd page has."""

EXIT_CODES = {0, 1, 129, 130, 143}
MAX_REPEATS = 200
SECONDS_PER_WINDOW = 4 * 3600

Message: TypeAlias = "Mapping[str, Any]"


class Version(NamedTuple):
    """A row between two changes; `at` is its `updatedOn` in canonical form."""

    id: int
    at: str


Rows: TypeAlias = dict[str, set[Version]]


@dataclass(frozen=True)
class Plan:
    """What the tap was asked to do in a run; timestamps are in canonical form.

    Attributes:
        before, after: Rows of the lake before and after the run.
        streams: The selected streams that no stream map drops.
        full: Streams with full reads.
        start: The setting `start_date`; empty if unset.
        end: The latest `updatedOn` that is in range.
        windows: Maximum number of windows of the run.
        service_time: Time of the service at the end of the run.
    """

    before: Rows
    after: Rows
    streams: set[str]
    full: set[str]
    start: str
    end: str
    windows: int
    service_time: str

    def lasting(self, stream: str) -> set[Version]:
        """Return the rows that did not change during the run."""
        return self.before[stream] & self.after[stream]


@dataclass
class Ledger:
    """A target that upserts by id and hard-deletes, and what the state claims.

    Attributes:
        tables: `updatedOn` and table version of the target's rows, by stream and id.
        emitted: What was emitted since the state was last lost.
        starts: `start_date` of the run that gave a stream its bookmark.
        state: The last state.
    """

    tables: dict[str, dict[int, tuple[str, int]]] = field(default_factory=dict)
    emitted: Rows = field(default_factory=dict)
    starts: dict[str, str] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    def lose_state(self) -> None:
        """Forget the state; the target stays."""
        self.state, self.emitted, self.starts = {}, {}, {}

    def load(self, stream: str, message: Message) -> None:
        """Load a RECORD."""
        version = Version(message["record"]["id"], message["record"]["updatedOn"] or "")
        self.emitted.setdefault(stream, set()).add(version)
        row = (version.at, message.get("version") or 0)
        self.tables.setdefault(stream, {})[version.id] = row


def check(ended: Ended, plan: Plan, ledger: Ledger) -> None:
    """Load the output of a run and check everything; raise AssertionError."""
    exit_code_is_known(ended)
    run_ends_in_time(ended, plan)
    log_has_no_traceback_and_no_personal_value(ended)
    messages = lines_are_whole(ended)
    state_is_last(messages)
    records_are_valid(messages)
    rows_do_not_repeat_without_end(messages, plan)
    before = ledger.state
    for message in messages:
        stream = message.get("stream", "")
        match message["type"]:
            case "RECORD":
                assert stream in plan.streams, f"a record of {stream}"
                ledger.load(stream, message)
            case "ACTIVATE_VERSION":
                last = before.get("bookmarks", {}).get(stream, {}).get("full_read", {})
                activation_removes_no_row(message, plan, ledger, last)
            case "STATE":
                bookmark_tells_the_truth(message["value"], plan, ledger)
    if ended.code == 0:
        exit_code_0_means_every_row(plan, ledger)


def exit_code_is_known(ended: Ended) -> None:
    """The exit code is one of those that docs and schedulers know."""
    assert ended.code in EXIT_CODES, f"exit code {ended.code}: {ended.error!r}"


def run_ends_in_time(ended: Ended, plan: Plan) -> None:
    """Whatever the service does, the run ends."""
    assert ended.requests < MAX_REQUESTS, "endless requests"
    hours, limit = ended.seconds / 3600, SECONDS_PER_WINDOW * plan.windows
    assert ended.seconds < limit, f"{hours:.1f} hours for {plan.windows} windows"


def log_has_no_traceback_and_no_personal_value(ended: Ended) -> None:
    """A log line is one of ours, without what the service or the rows say, at any level."""
    for record in ended.log:
        text = record.getMessage()
        assert record.exc_info is None, f"traceback in the log: {text}"
        assert "unexpected " not in text, text
        assert SENTINEL not in text, f"personal value or secret in the log: {text}"
    assert SENTINEL not in str(ended.error), f"personal value or secret in: {ended.error}"


def lines_are_whole(ended: Ended) -> list[Message]:
    """Every line of the output is a message; return them."""
    assert ended.output[-1:] in {b"", b"\n"}, "the last line is cut"
    return [json.loads(line) for line in ended.output.splitlines()]


def state_is_last(messages: Sequence[Message]) -> None:
    """No RECORD follows the last STATE: some targets forget a state that records follow."""
    kinds = [message["type"] for message in messages if message["type"] != "SCHEMA"]
    assert not kinds or kinds[-1] == "STATE", f"{kinds[-1]} after the last STATE"


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def records_are_valid(messages: Sequence[Message]) -> None:
    """Every RECORD is valid against the last SCHEMA of its stream."""
    schemas: dict[str, Draft202012Validator] = {}
    for message in messages:
        if message["type"] == "SCHEMA":
            schemas[message["stream"]] = _validator(json.dumps(message["schema"]))
        elif message["type"] == "RECORD":
            errors = list(schemas[message["stream"]].iter_errors(message["record"]))
            assert not errors, f"invalid RECORD: {errors[0].json_path} {errors[0].message}"


def rows_do_not_repeat_without_end(messages: Sequence[Message], plan: Plan) -> None:
    """A row may come again, but not without end."""
    records = sum(message["type"] == "RECORD" for message in messages)
    rows = sum(len(plan.before[stream] | plan.after[stream]) for stream in plan.before)
    assert records <= MAX_REPEATS * (rows + 1), f"{records} records of {rows} rows"


def activation_removes_no_row(message: Message, plan: Plan, ledger: Ledger, last: Message) -> None:
    """ACTIVATE_VERSION follows all rows of its version; the target then equals the source."""
    stream, version = message["stream"], message["version"]
    table = ledger.tables.setdefault(stream, {})
    removed = {id_ for id_, (_, own) in table.items() if own < version}
    # After an earlier read with this `start_date`, which warned that the next one removes them.
    announced = plan.start if last.get("start") == plan.start else ""
    for id_, at in sorted(plan.lasting(stream)):
        assert id_ not in removed or at < announced, f"{stream} {id_} ({at}) removed"
        assert id_ in table or at < plan.start, f"{stream} {id_} ({at}) was not read"
    before = {row.id: row.at for row in plan.before[stream]}
    for row in sorted(plan.after[stream]):
        if row.id in before.keys() & removed:  # also if it was updated during the read
            assert before[row.id] < announced, f"{stream} {row.id} ({row.at}) removed"
    for id_ in removed:
        del table[id_]
    known = {row.id for row in plan.before[stream] | plan.after[stream]}
    # A row that was inserted and deleted during the run may have been read.
    stale = {id_ for id_, (_, own) in table.items() if own != version} - known
    assert not stale, f"{stream}: deleted rows stay: {stale}"


def bookmark_tells_the_truth(state: dict[str, Any], plan: Plan, ledger: Ledger) -> None:
    """A bookmark never moves back, and never passes a row that was not emitted."""
    earlier, ledger.state = ledger.state, state
    for stream in plan.before:
        was, bookmark = bookmark_in(earlier, stream), bookmark_in(state, stream)
        assert bookmark >= was, f"the bookmark of {stream} moves back from {was} to {bookmark}"
        if bookmark == was:
            continue
        assert stream in plan.streams - plan.full, f"the bookmark of {stream} moves"
        assert bookmark <= plan.service_time, f"{stream}: {bookmark} is in the future"
        start = ledger.starts.setdefault(stream, plan.start)
        rows = plan.lasting(stream) - ledger.emitted.get(stream, set())
        missing = sorted(row for row in rows if start <= row.at <= bookmark)
        assert not missing, f"the bookmark of {stream} ({bookmark}) passes {missing}"


def exit_code_0_means_every_row(plan: Plan, ledger: Ledger) -> None:
    """After exit code 0, every row in range has been emitted and is in the target."""
    for stream in sorted(plan.streams):
        start = plan.start if stream in plan.full else ledger.starts.get(stream, plan.start)
        rows = {row for row in plan.lasting(stream) if start <= row.at <= plan.end}
        missing = sorted(rows - ledger.emitted.get(stream, set()))
        assert not missing, f"exit code 0 without {missing} of {stream}"
        target_has(rows, stream, ledger)


def target_has(rows: set[Version], stream: str, ledger: Ledger) -> None:
    """The target has some rows, or later versions of them."""
    table = ledger.tables.get(stream, {})
    missing = sorted(row for row in rows if table.get(row.id, ("", 0))[0] < row.at)
    assert not missing, f"the target lacks {missing} of {stream}"
