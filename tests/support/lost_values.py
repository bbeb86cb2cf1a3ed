"""Search for values of a row that a record has lost."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tap_campusgroups.records.converter import EXTRA
from tap_campusgroups.records.json_codec import decode_value, encode_json
from tap_campusgroups.records.values import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping


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
