"""States that are edited, truncated or from another tap: accepted, or one line with the reason."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_campusgroups.exceptions import InputError
from tap_campusgroups.input_files import read_input
from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, invoke, only, only_error, settings_for, state_of, sync
from tests.support.mutations import mutated, nested

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOOKMARK = "2025-06-01T12:00:00.250000Z"
FIX = "Correct it, or run without a state to read everything again."


VALUE = "bookmarks.events.replication_key_value"
FULL_READ = "bookmarks.events.full_read"
FIRST_READ = {"rows": 1, "start": None, "version": 1}


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    """The simulator, for many short runs."""
    with Simulator(Dataset({"events": 2, "rooms": 1}, newest=NEWEST)) as simulator:
        yield simulator


def entry(**bookmark: Any) -> dict[str, Any]:
    """Return a state with an entry for events."""
    return {"bookmarks": {"events": bookmark}}


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"bookmarks": []}, "bookmarks"),
        ({"bookmarks": None}, "bookmarks"),
        ({"bookmarks": {"events": BOOKMARK}}, "bookmarks.events"),
        (entry(replication_key_value={"value": BOOKMARK}), VALUE),
        (entry(replication_key_value="soon"), VALUE),
        (entry(replication_key_value=""), VALUE),
        # Before the first date in UTC.
        (entry(replication_key_value="0001-01-01T00:00:00+14:00"), VALUE),
        (entry(full_read={"rows": 1, "version": 1}), FULL_READ),
        (entry(full_read=FIRST_READ | {"rows": "many"}), f"{FULL_READ}.rows"),
        (entry(full_read=FIRST_READ | {"rows": -1}), f"{FULL_READ}.rows"),
        (entry(full_read=FIRST_READ | {"start": "zzz"}), f"{FULL_READ}.start"),
        (entry(full_read=FIRST_READ | {"version": 10**20}), f"{FULL_READ}.version"),
    ],
)
def test_invalid_state_is_an_error_that_names_file_and_place(
    service: Simulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    state: dict[str, Any],
    place: str,
) -> None:
    service.reset_log()
    done = invoke(tmp_path, config=settings_for(service), catalog=only("events"), state=state)
    assert (done.exit_code, done.stdout, service.requests) == (1, "", [])
    assert only_error(caplog) == f"--state {tmp_path / 'state.json'}: {place} is malformed. {FIX}"


def test_state_with_deep_nesting_is_an_error(service: Simulator) -> None:
    output = sync(settings_for(service), "events", state=entry(odd=nested(100)))
    problem = f"state: more than 50 levels of nested objects and lists. {FIX}"
    assert (str(output.error), output.messages) == (problem, [])


@pytest.mark.parametrize(
    "value", ["0001-01-01T00:00:00", "0001-01-02T23:59:59Z", "1969-12-31T00:00:00Z", None]
)
def test_bookmark_before_all_data_reads_everything(service: Simulator, value: str | None) -> None:
    config = settings_for(service, start_date="1900-01-01", lookback_hours=24 * 365)
    output = sync(config, "events", state=entry(replication_key_value=value))
    assert output.error is None
    assert len(output.records["events"]) == 2
    assert output.bookmarks["events"] == BOOKMARK


@pytest.mark.parametrize(
    "junk",
    [None, [], "soon", {"replication_key_value": ["2025"]}, {"partitions": [{"context": 1}, None]}],
    ids=json.dumps,
)
def test_junk_of_deselected_stream_is_ignored_and_kept(service: Simulator, junk: Any) -> None:
    state = {"bookmarks": {"rooms": junk, "of another tap": junk}}
    output = sync(settings_for(service), "events", state=state)
    assert output.error is None
    assert len(output.records["events"]) == 2
    for written in output.states:
        assert written["bookmarks"]["rooms"] == junk
        assert written["bookmarks"]["of another tap"] == junk
    assert output.states[-1]["bookmarks"]["events"]["replication_key_value"] == BOOKMARK


@pytest.mark.parametrize(
    "more",
    [
        {"progress_markers": {"replication_key": "updatedOn", "replication_key_value": "2999"}},
        {"progress_markers": [], "partitions": None},
        {"partitions": [{"context": {"school": 1}, "replication_key_value": "2999"}]},
        {"replication_key_signpost": 7, "starting_replication_value": []},
        {"start_date": ["2024"]},
    ],
    ids=json.dumps,
)
def test_state_with_keys_of_other_taps_keeps_its_bookmark(
    service: Simulator, more: dict[str, Any]
) -> None:
    """The SDK reads a bookmark from progress markers."""
    state = entry(replication_key="updatedOn", replication_key_value="2025-01-01", **more)
    service.reset_log()
    output = sync(settings_for(service), "events", state=state)
    assert output.error is None
    (asked,) = [one.query for one in service.requests if one.method == "POST"]
    assert asked["updatedStart"] == "2024-12-30T00:00:00Z"
    assert output.bookmarks == {"events": BOOKMARK}


@pytest.mark.parametrize("state", [{}, {"bookmarks": {}}, {"singer": "x"}], ids=json.dumps)
def test_state_without_bookmarks_is_a_first_run(service: Simulator, state: dict[str, Any]) -> None:
    output = sync(settings_for(service), "events", state=state)
    assert output.error is None
    assert len(output.records["events"]) == 2


VALID = {
    "bookmarks": {
        "events": {
            "replication_key": "updatedOn",
            "replication_key_value": "2025-01-01T00:00:00.000000Z",
            "start_date": "2024-09-01T00:00:00.000000Z",
        },
        "rooms": {"partitions": [{"context": {"id": 1}}], "progress_markers": {"Note": "x"}},
    },
    "currently_syncing": None,
}


@settings(max_examples=25)
@given(state=mutated(VALID))
def test_mutated_state_runs_or_is_one_line(service: Simulator, state: dict[str, Any]) -> None:
    names = ("events", "rooms")
    output = sync(settings_for(service), *names, catalog=only(*names), state=state)
    if output.error is None:
        assert len(output.records["events"]) >= 1
        assert output.messages[-1]["type"] == "STATE"
    else:
        assert isinstance(output.error, InputError)
        assert str(output.error).startswith("state: bookmarks")
        assert len(str(output.error).splitlines()) == 1


# Files

TEXT = json.dumps(state_of(events=BOOKMARK), ensure_ascii=False)
NOT_AN_OBJECT = {
    "empty": b"",
    "list": b"[]",
    "number": b"7",
    "cut off": TEXT.encode()[:-5],
    "two lines": f"{TEXT}\n{TEXT}".encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "byte order mark": TEXT.encode("utf-8-sig"),
    "latin-1": '{"bookmarks": {"événements": {}}}'.encode("latin-1"),
    "half a character": b'{"bookmarks": {"rooms": "\\ud800"}}',
    "endless number": b'{"bookmarks": {"rooms": ' + b"9" * 5000 + b"}}",
    "not a number": b'{"bookmarks": {"rooms": NaN}}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
}


@pytest.mark.parametrize("content", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT)
@pytest.mark.parametrize("option", ["state", "catalog"])
def test_file_without_json_object_is_an_error(
    service: Simulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    option: str,
    content: bytes,
) -> None:
    service.reset_log()
    for more in ((), ("--test",)):
        caplog.clear()
        done = invoke(tmp_path, *more, config=settings_for(service), **{option: content})
        assert (done.exit_code, done.stdout, service.requests) == (1, "", [])
        assert only_error(caplog).startswith(
            f"--{option} {tmp_path / option}.json: the file must contain one JSON object (UTF-8, "
            "no byte order mark). Correct it, or "
        )


@given(content=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_state_file_with_any_content_is_an_object_or_an_error(content: bytes) -> None:
    file = io.BytesIO(content)
    file.name = "state.json"
    option = click.Option(["--state"])
    try:
        text = read_input(click.Context(click.Command(None)), option, file)
        assert text is not None
        text.check()
    except InputError:
        return
    assert json.loads(text.read()).keys() == text.value.keys()


def test_numbers_in_state_keep_their_digits(service: Simulator, tmp_path: Path) -> None:
    number = b"12345678901234567890.123456789"
    state = b'{"bookmarks": {"rooms": {"value": ' + number + b"}}}"
    done = invoke(tmp_path, config=settings_for(service), catalog=only("events"), state=state)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].count(number.decode()) == 1
