"""An unusual row costs neither its page nor the privacy of the names in it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import StreamError
from tap_campusgroups.records.converter import EXTRA
from tap_campusgroups.records.json_codec import decode_body
from tap_campusgroups.records.quality import MAX_UNKNOWN_NAMES, TOO_MANY_NAMES, DataQualityCounters
from tests.simulator import Dataset, RawBody, Simulator
from tests.support.harness import NEWEST, only, settings_for, state_of, sync
from tests.support.messages import summary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.harness import Output

STREAM, OTHER = "rooms", "tags"
ROWS = 4
OLD = "2024-01-01T00:00:00.000000Z"

BOTH_PATHS = pytest.mark.parametrize("is_sdk_path", [False, True], ids=["fast path", "SDK path"])


def serve(page: bytes, *, is_sdk_path: bool = False, **settings: Any) -> Output:
    """Run the tap; this is the first page of one stream."""
    catalog = only(STREAM, OTHER)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if is_sdk_path and entry["breadcrumb"] == ["properties", "photoUrl"]:
                entry["metadata"]["selected"] = False
    with Simulator(Dataset(ROWS, newest=NEWEST)) as simulator:
        fault = simulator.inject(RawBody(page).on(STREAM, "first_page"))
        config = settings_for(simulator, **settings)
        output = sync(config, STREAM, OTHER, catalog=catalog, state=state_of(**{STREAM: OLD}))
        assert fault.fired == 1  # no page is requested again
    assert len(output.records[OTHER]) == ROWS
    return output


def run(*rows: str, before: bytes = b"", **options: Any) -> Output:
    """Run the tap; the first page of one stream has these rows between two valid ones."""
    good = [f'{{"id":{number},"name":"room {number}"}}' for number in (1, 2)]
    page = f'{{"Results":[{",".join([good[0], *rows, good[1]])}]}}'
    output = serve(before + page.encode(), **options)
    ids = [record["id"] for record in output.records[STREAM]]
    assert (ids[0], ids[-1]) == (1, 2)
    return output


def report_of(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the figures of the stream in the summary."""
    (extra,) = [vars(one) for one in caplog.records if "Summary: " in one.getMessage()]
    (report,) = [one for one in extra["streams"] if one["stream"] == STREAM]
    assert isinstance(report, dict)
    return report


# Rows that are not objects


@BOTH_PATHS
@pytest.mark.parametrize("odd", ["null", "7", '"x"', "[]", "true", '{"name":"x"}', '{"id":true}'])
def test_row_that_is_not_an_object_is_left_out_and_fails_the_stream(
    caplog: pytest.LogCaptureFixture, odd: str, *, is_sdk_path: bool
) -> None:
    output = run(odd, odd, is_sdk_path=is_sdk_path)
    assert isinstance(output.error, StreamError)
    assert "2 rows of " in str(output.error)
    assert output.bookmarks[STREAM] == OLD
    assert len(output.records[STREAM]) == 2
    report = report_of(caplog)
    assert (report["rows"], report["rows_without_key"]) == (4, 2)
    assert f"  {STREAM}: 2 rows without a usable id, skipped" in summary(caplog)


# Values that JSON parsers reject


@BOTH_PATHS
@pytest.mark.parametrize("field", ["capacity", "name", "createdOn", "shoeSize"])
@pytest.mark.parametrize("odd", ["NaN", "-Infinity"])
def test_value_that_parsers_reject_costs_only_its_column(
    caplog: pytest.LogCaptureFixture, odd: str, field: str, *, is_sdk_path: bool
) -> None:
    output = run(f'{{"id":3,"{field}":{odd},"building":{{"id":"7"}}}}', is_sdk_path=is_sdk_path)
    assert output.error is None
    assert output.bookmarks[STREAM] != OLD
    record = output.records[STREAM][1]
    assert (record["id"], record["building"]["id"]) == (3, 7)
    report = report_of(caplog)
    if field == "name":
        assert record["name"] == odd
    else:
        assert (record.get(field), record[EXTRA][field]) == (None, odd)
        counts = report["unknown"] if field == "shoeSize" else report["type_mismatches"]
        assert list(counts) == [field]
    assert report["pages_with_invalid_unicode"] == 0


@BOTH_PATHS
def test_text_with_control_characters_or_invalid_unicode_is_kept(
    caplog: pytest.LogCaptureFixture, *, is_sdk_path: bool
) -> None:
    odd = ['{"id":3,"name":"a\tb\nc\0\\"\x1f"}', '{"id":4,"name":"half \\ud83d"}', "null"]
    output = run(*odd, is_sdk_path=is_sdk_path)
    assert isinstance(output.error, StreamError)
    texts = [record["name"] for record in output.records[STREAM][1:-1]]
    assert texts == ['a\tb\nc\0"\x1f', "half \ufffd"]
    report = report_of(caplog)
    assert (report["rows"], report["rows_without_key"]) == (5, 1)
    assert report["pages_with_invalid_unicode"] == 1


@BOTH_PATHS
def test_page_with_integer_of_thousands_of_digits_fails_the_stream(*, is_sdk_path: bool) -> None:
    page = f'{{"Results":[{{"id":1}},{{"id":3,"capacity":{"9" * 5000}}}]}}'
    output = serve(page.encode(), is_sdk_path=is_sdk_path)
    assert "has a number of thousands of digits" in str(output.error)
    assert output.bookmarks[STREAM] == OLD
    assert not output.records.get(STREAM)


@BOTH_PATHS
def test_byte_order_mark_of_page_is_skipped(
    caplog: pytest.LogCaptureFixture, *, is_sdk_path: bool
) -> None:
    output = run('{"id":3}', before=b"\xef\xbb\xbf", is_sdk_path=is_sdk_path)
    assert output.error is None
    assert len(output.records[STREAM]) == 3
    assert report_of(caplog)["pages_with_invalid_unicode"] == 0


def test_byte_order_mark_of_any_response_is_skipped() -> None:
    assert list(decode_body(b'\xef\xbb\xbf{"queryId":"q"}')[0]) == ["queryId"]


# Names of fields that may be data


def test_unknown_fields_beyond_limit_are_counted_together() -> None:
    quality = DataQualityCounters()
    for number in range(MAX_UNKNOWN_NAMES):
        quality.add_unknown(f"name{number}", number)
        quality.add_unknown("name0", "x")
    assert len(quality.unknown_fields) == MAX_UNKNOWN_NAMES
    quality.add_unknown("name0", None)
    assert len(quality.unknown_fields) == MAX_UNKNOWN_NAMES
    for number in range(1000):
        quality.add_unknown(f"more{number}", [])
    assert list(quality.unknown_fields) == [TOO_MANY_NAMES]
    unknown = quality.unknown_fields[TOO_MANY_NAMES]
    assert unknown.count == 2 * MAX_UNKNOWN_NAMES + 1 + 1000
    assert unknown.suggested_type == "string"


def people(count: int) -> dict[str, int]:
    """Return an object with a key per person, each spelled like a field of the API."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return {f"jane{letters[at // 26].upper()}{letters[at % 26]}": at for at in range(count)}


@BOTH_PATHS
@pytest.mark.parametrize("row", [people(200), {"type": people(200)}], ids=["top", "nested"])
def test_unknown_field_per_person_is_one_line_without_names(
    caplog: pytest.LogCaptureFixture, row: Mapping[str, Any], *, is_sdk_path: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    output = run(json.dumps({"id": 3, **row}), is_sdk_path=is_sdk_path)
    assert output.error is None
    assert "janeAa" in json.dumps(output.records[STREAM][1][EXTRA])
    assert "jane" not in caplog.text
    assert report_of(caplog)["unknown"] == {TOO_MANY_NAMES: {"count": 200, "type": "integer"}}
    assert summary(caplog)[-1] == (
        f"  {STREAM}: field {TOO_MANY_NAMES} is not in the schema: 200 values, kept in _extra; "
        "suggested type: integer"
    )


@BOTH_PATHS
@pytest.mark.parametrize("name", ["Jane_Doe", "Jane", "jd1234", "jane@uni.example", "jane_doe"])
def test_unknown_name_unlike_api_fields_is_redacted(
    caplog: pytest.LogCaptureFixture, name: str, *, is_sdk_path: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    row = json.dumps({"id": 3, name: 1, "type": {name: 1}, "shoeSize": 44})
    output = run(row, is_sdk_path=is_sdk_path)
    assert output.records[STREAM][1][EXTRA][name] == 1
    assert name not in caplog.text
    assert list(report_of(caplog)["unknown"]) == ["(a name)", "shoeSize", "type.(a name)"]


def test_unknown_field_error_redacts_name() -> None:
    with Simulator(Dataset(ROWS, newest=NEWEST)) as simulator:
        simulator.dataset[STREAM][0]["Jane_Doe"] = 1
        output = sync(settings_for(simulator, unknown_fields="fail"), STREAM)
    assert isinstance(output.error, StreamError)
    assert "field (a name) is not in the schema, and" in str(output.error)
