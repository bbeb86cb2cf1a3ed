"""Views of the files of target-jsonl, as SQL for DuckDB or ClickHouse."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from examples.readers.schemas import kind_of, load_schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from examples.readers.schemas import Kind, Schema

COMMAND: Final = "python -m examples.readers.sql"

FOLDER: Final = "output/campusgroups"
"""Where target-jsonl writes with the project's meltano.yml."""

_DUCKDB_TYPES: Final[Mapping[Kind, str]] = {
    "integer": "BIGINT",
    "number": "DECIMAL(38, 9)",
    "boolean": "BOOLEAN",
    "string": "VARCHAR",
    "date-time": "TIMESTAMP",
    "date": "DATE",
    "json": "JSON",
}

_DUCKDB_MACRO: Final = """\
CREATE OR REPLACE MACRO newest(lines) AS TABLE
SELECT * EXCLUDE (_line) FROM query_table(lines)
QUALIFY row_number() OVER (PARTITION BY id ORDER BY "updatedOn" DESC NULLS LAST, _line DESC) = 1;
"""


def duckdb(schemas: Mapping[str, Schema], folder: str = FOLDER) -> str:
    """Return two views for each stream: all lines, and the newest row of each id."""
    return "\n".join([_DUCKDB_MACRO, *(_duckdb_views(*item, folder) for item in schemas.items())])


def _duckdb_views(stream: str, schema: Schema, folder: str) -> str:
    columns = ",\n".join(
        f"    {_quoted(name)}: {_literal(_duckdb_type(definition))}"
        for name, definition in schema["properties"].items()
    )
    return f"""\
CREATE OR REPLACE VIEW {_quoted(f"{stream}_lines")} AS
SELECT *, row_number() OVER () AS _line
FROM read_ndjson(['/dev/null', {_literal(f"{folder}/{stream}.jsonl")}], allow_empty = true,
columns = {{
{columns}
}});
CREATE OR REPLACE VIEW {_quoted(stream)} AS FROM newest({_literal(f"{stream}_lines")});
"""  # noqa: S608 - names are quoted


def _duckdb_type(definition: Schema) -> str:
    match kind_of(definition):
        case "object":
            fields = definition["properties"].items()
            inner = ", ".join(f"{_quoted(name)} {_duckdb_type(field)}" for name, field in fields)
            return f"STRUCT({inner})"
        case "array":
            return f"{_duckdb_type(definition['items'])}[]"
        case kind:
            return _DUCKDB_TYPES[kind]


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


_CLICKHOUSE_TYPES: Final[Mapping[Kind, str]] = {
    "integer": "Nullable(Decimal(38, 0))",
    "number": "Nullable(Decimal(38, 9))",
    "boolean": "Nullable(Bool)",
    "date-time": "Nullable(DateTime64(6, 'UTC'))",
    "date": "Nullable(Date32)",
}
"""Objects and arrays are text: their JSON as it is in the file, with null and all digits.

An Int64 would wrap around on reading: integers pass through a decimal, which is an error instead.
"""


def clickhouse(schemas: Mapping[str, Schema], folder: str = FOLDER) -> str:
    """Return a view for each stream: the newest row of each id."""
    return "\n".join(_clickhouse_view(*item, folder) for item in schemas.items())


def _clickhouse_view(stream: str, schema: Schema, folder: str) -> str:
    fields = schema["properties"].items()
    integers = ", ".join(
        f"toInt64({name}) AS {name}"
        for name in (
            _clickhouse_quoted(name, "`") for name, field in fields if kind_of(field) == "integer"
        )
    )
    columns = ",\n".join(
        f"    {_clickhouse_quoted(name, '`')} "
        f"{_CLICKHOUSE_TYPES.get(kind_of(definition), 'Nullable(String)')}"
        for name, definition in fields
    )
    return f"""\
CREATE OR REPLACE VIEW {_clickhouse_quoted(stream, "`")} AS
SELECT * REPLACE ({integers})
FROM file({_clickhouse_quoted(f"{folder}/{stream}.jsonl", "'")}, 'JSONEachRow', $columns$
{columns}
$columns$)
ORDER BY `updatedOn` DESC NULLS LAST, `_row_number` DESC LIMIT 1 BY `id`
SETTINGS engine_file_empty_if_not_exists = 1;
"""  # noqa: S608 - names are quoted


def _clickhouse_quoted(name: str, quote: str) -> str:
    escaped = name.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"


def main() -> None:
    """Print the SQL."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("reader", choices=["duckdb", "clickhouse"])
    parser.add_argument("catalog", help="output of tap-campusgroups --discover")
    parser.add_argument("--folder", default=FOLDER, help="folder with the files (%(default)s)")
    arguments = parser.parse_args()
    write = duckdb if arguments.reader == "duckdb" else clickhouse
    print(write(load_schemas(arguments.catalog), arguments.folder), end="")  # noqa: T201 - output


if __name__ == "__main__":
    main()
