"""Conversion of single values at the limits of their types."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal

import pytest

from tap_campusgroups.records.values import (
    MAX_SAFE_INTEGER,
    ConversionError,
    canonical_timestamp,
    parse_timestamp,
    to_boolean,
    to_canonical_timestamp,
    to_date,
    to_integer,
    to_timestamp,
)


@pytest.mark.usefixtures("local_time_of_new_york")
@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T10:00:00",
        "2024-05-01 10:00:00",
        "2024-05-01T10:00:00Z",
        "2024-05-01T12:00:00+02:00",
        " 2024-05-01T06:00:00-04:00 ",
    ],
)
def test_timestamp_without_offset_is_utc_in_any_local_time(text: str) -> None:
    timestamp = parse_timestamp(text)
    assert timestamp is not None
    assert timestamp.isoformat() == "2024-05-01T10:00:00+00:00"
    assert timestamp.tzinfo is UTC
    assert (
        canonical_timestamp(text) == to_canonical_timestamp(text) == "2024-05-01T10:00:00.000000Z"
    )


@pytest.mark.usefixtures("local_time_of_new_york")
def test_timestamp_without_offset_keeps_text_in_any_local_time() -> None:
    assert to_timestamp("2024-05-01T10:00:00") == "2024-05-01T10:00:00"


def test_canonical_timestamp_has_fixed_width() -> None:
    first = "0001-01-01T00:00:00"
    later = "2024-05-01T10:00:00.5+00:00"
    last = "9999-12-31T23:59:59.999999Z"
    written = [canonical_timestamp(text) for text in (first, later, last)]
    assert written == [
        "0001-01-01T00:00:00.000000Z",
        "2024-05-01T10:00:00.500000Z",
        "9999-12-31T23:59:59.999999Z",
    ]


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_timestamp_outside_calendar_in_utc_is_invalid(text: str) -> None:
    assert parse_timestamp(text) is None
    with pytest.raises(ConversionError):
        to_canonical_timestamp(text)


@pytest.mark.parametrize("text", ["", " ", "null", "NULL"])
def test_null_text_is_null_in_any_type(text: str) -> None:
    for convert in (to_boolean, to_canonical_timestamp, to_date, to_timestamp, to_integer):
        assert convert(text) is None


def test_integer_beyond_thousand_digits_is_mismatch() -> None:
    assert to_integer("1e999") == 10**999
    with pytest.raises(ConversionError):
        to_integer("1e1000")


@pytest.mark.parametrize("sign", [1, -1])
def test_rounded_integer_is_accepted_only_where_doubles_are_exact(sign: int) -> None:
    tiny = Decimal("1e-12")
    assert to_integer(sign * (MAX_SAFE_INTEGER + tiny)) == sign * MAX_SAFE_INTEGER
    with pytest.raises(ConversionError):
        to_integer(sign * (MAX_SAFE_INTEGER + 1 + tiny))
