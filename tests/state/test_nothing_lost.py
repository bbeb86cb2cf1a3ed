"""Every value that the service sends is in its column or in `_extra`."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_campusgroups.records.converter import EXTRA, Converter
from tap_campusgroups.records.json_codec import Raw, decode_rows, decode_value, encode_json
from tap_campusgroups.records.quality import DataQualityCounters
from tap_campusgroups.records.values import parse_timestamp
from tests.simulator.dataset import tap_schemas
from tests.support.strategies import pages

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLES = 10
"""Pages per stream."""


def means(column: Any, sent: Any) -> bool:
    """Return whether a column has the value that was sent, possibly in another form."""
    if isinstance(sent, str) and not isinstance(column, str):
        text = sent.strip()
        if column is None:
            return text == "" or text.lower() == "null"
        sent = decode_value(text.lower()) if isinstance(column, bool) else text
        if isinstance(column, (list, dict)):
            sent = decode_value(text)
    found: bool
    match column:
        case bool():
            found = column == bool(sent) and sent in {0, 1}
        case int() | Decimal():
            exact = Decimal(str(int(sent) if isinstance(sent, bool) else sent))
            found = exact == column or Decimal(float(exact)) == column
        case str() if isinstance(sent, str):
            same_day = column == sent.strip()[:10]
            found = column in {sent, sent.strip()} or same_day
            found = found or parse_timestamp(column) == parse_timestamp(sent) is not None
        case str():
            found = column == encode_json(sent)
        case dict():
            found = column.keys() == sent.keys() and all(
                means(column[name], sent[name]) for name in sent
            )
        case list():
            found = len(column) == len(sent) and all(map(means, column, sent))
        case _:
            found = column is None and sent is None
    return found


def missing(row: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """Return the fields of a row that are neither in their columns nor in `_extra`."""
    extra = record[EXTRA] or {}
    return [
        name
        for name, sent in row.items()
        if not (extra[name] == sent if name in extra else means(record.get(name), sent))
    ]


@cache
def pages_of(stream: str) -> st.SearchStrategy[str]:
    """Return pages of a stream."""
    properties = dict(tap_schemas("1.1")[stream]["properties"])
    del properties[EXTRA]
    return pages({"properties": properties})


@pytest.mark.parametrize("stream", sorted(tap_schemas("1.1")))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_value_of_any_type_is_in_its_column_or_in_extra(stream: str, data: st.DataObject) -> None:
    schema = tap_schemas("1.1")[stream]
    rows = decode_rows(Raw(data.draw(pages_of(stream)).encode()))[0]
    converter = Converter(
        schema, stream="events", replication_key="updatedOn", quality=DataQualityCounters()
    )
    for row in rows:
        if row.get(EXTRA) is not None:
            continue  # another test has the service's own field of this name
        record = converter(row)
        assert missing(row, record) == []
        again = converter({name: value for name, value in record.items() if name != EXTRA})
        assert again == record | {EXTRA: None}
