"""Comparison of the service's rows with the rows that target-postgres loaded."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator import Row


def comparable(definition: Mapping[str, Any], value: Any) -> Any:
    """Normalize a value of the service or of the database by the field's schema."""
    if value is None:
        return None
    types = definition["type"]
    (kind,) = {types} if isinstance(types, str) else set(types) - {"null"}
    form: Any
    match kind, definition.get("format"):
        case "string", "date-time":
            timestamp = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            # The loader's columns have no time zone and must hold UTC.
            form = timestamp.replace(tzinfo=UTC) if timestamp.tzinfo is None else timestamp
        case "string", "date":
            form = value if isinstance(value, date) else date.fromisoformat(value)
        case "number", _:
            form = Decimal(str(value))
        case "object", _ if "properties" not in definition:
            form = value
        case "object", _:
            fields = definition["properties"]
            form = {name: comparable(fields[name], item) for name, item in value.items()}
        case "array", _:
            form = [comparable(definition["items"], item) for item in value]
        case "string", None:
            form = value.replace("\0", "\ufffd")  # PostgreSQL has no NUL; the loader replaces it
        case _:
            form = (type(value), value)
    return form


def differences(schema: Mapping[str, Any], row: Row, loaded: Mapping[str, Any]) -> list[str]:
    """Compare a row of the service with a row of the database field by field."""
    fields = schema["properties"]
    columns = {name for name in loaded if not name.startswith("_sdc_")}
    found = [f"{name}: only on one side" for name in columns ^ set(fields)]
    for name in columns & set(fields):
        sent, arrived = row[name], loaded[name]
        if comparable(fields[name], sent) != comparable(fields[name], arrived):
            found.append(f"{name}: {sent!r} arrived as {arrived!r}")
    return found
