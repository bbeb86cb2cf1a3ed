"""Every value that the service sends is in its column or in `_extra`."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_campusgroups.records.converter import EXTRA, Converter
from tap_campusgroups.records.json_codec import Raw, decode_rows
from tap_campusgroups.records.quality import DataQualityCounters
from tests.simulator.dataset import tap_schemas
from tests.support.lost_values import missing
from tests.support.strategies import pages

EXAMPLES = 10
"""Pages per stream."""


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
