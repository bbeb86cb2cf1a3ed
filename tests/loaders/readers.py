"""Readers of what loaders stored: rows by stream, in the order in which they were stored.

A stream without a table or file is missing. Decimals of JSON keep their digits.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from xml.etree import ElementTree as ET

import duckdb
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from tests.loaders.servers import request
from tests.simulator.dataset import tap_schemas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.loaders.servers import Values
    from tests.support.postgres import Postgres

Row: TypeAlias = "dict[str, Any]"
Stored: TypeAlias = "dict[str, list[Row]]"
Reader: TypeAlias = "Callable[[Path, Values], Stored]"

_loads: Final = partial(json.loads, parse_float=Decimal)
_GZIP: Final = b"\x1f\x8b"
csv.field_size_limit(sys.maxsize)


def _stream_of(name: str) -> str:
    """Return the first part of a path or key that is the name of a stream."""
    parts = re.split(r"[/.-]", name)
    return next((part for part in parts if part in tap_schemas()), name)


def _lines(data: bytes) -> Iterator[Row]:
    if data[:2] == _GZIP:
        data = gzip.decompress(data)
    for line in data.splitlines():
        row = _loads(line)
        # Some targets write whole messages.
        if "schema" not in row:
            yield row.get("record", row)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    for path in sorted(paths, key=lambda one: (one.stat().st_mtime_ns, one.name)):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def json_lines(folder: Path, _values: Values) -> Stored:
    """Read files of JSON Lines."""
    return _group((_stream_of(name), _lines(data)) for name, data in _files(folder))


def json_row_files(folder: Path, _values: Values) -> Stored:
    """Read folders of JSON files with one row each."""
    return _group(
        (_stream_of(name), _lines(data.replace(b"\n", b""))) for name, data in _files(folder)
    )


def csv_files(folder: Path, _values: Values) -> Stored:
    """Read CSV files."""
    return _group((_stream_of(name), _csv(data)) for name, data in _files(folder))


def _csv(data: bytes) -> Iterator[Row]:
    for row in csv.DictReader(io.StringIO(data.decode(), newline="")):
        yield {name: value for name, value in row.items() if name is not None}


def parquet_files(folder: Path, _values: Values) -> Stored:
    """Read Parquet files."""
    with duckdb.connect() as connection:
        return _group(
            (_stream_of(name), _parquet(connection, folder / name)) for name, _ in _files(folder)
        )


def _parquet(connection: duckdb.DuckDBPyConnection, file: Path) -> list[Row]:
    return _relation(connection, f"SELECT * FROM read_parquet('{file}')")  # noqa: S608


_AVRO: Final = """
import json, sys
import fastavro
with open(sys.argv[1], "rb") as file:
    for record in fastavro.reader(file):
        print(json.dumps(record, default=str))
"""


def avro_files(folder: Path, values: Values) -> Stored:
    """Read Avro files with the target's own library."""
    parts = []
    for name, _ in _files(folder):
        command = [values["programs"] / "python", "-c", _AVRO, folder / name]
        lines = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        parts.append((_stream_of(name), _lines(lines)))
    return _group(parts)


def _group(parts: Iterable[tuple[str, Iterable[Row]]]) -> Stored:
    stored: Stored = {}
    for stream, rows in parts:
        stored.setdefault(stream, []).extend(rows)
    return stored


def postgres(_folder: Path, values: Values) -> Stored:
    """Read all tables of a PostgreSQL database."""
    database: Postgres = values["postgres"]
    stored: Stored = {}
    with database.connect() as connection:
        set_json_loads(_loads, connection)
        connection.execute("SET timezone = 'UTC'")
        for schema, tables in database.schemas().items():
            for table in tables:
                query = sql.SQL("SELECT * FROM {} ORDER BY ctid").format(
                    sql.Identifier(schema, table)
                )
                with connection.cursor(row_factory=dict_row) as cursor:
                    stored[table] = cursor.execute(query).fetchall()
    return stored


def sqlite(folder: Path, _values: Values) -> Stored:
    """Read all tables of a SQLite database."""
    with closing(sqlite3.connect(folder / "warehouse.db")) as connection:
        connection.row_factory = sqlite3.Row
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')]  # noqa: S608
            for (name,) in names
        }


def duckdb_tables(folder: Path, _values: Values) -> Stored:
    """Read all tables of a DuckDB database."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        names = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        return {name: _relation(connection, f'SELECT * FROM "{name}"') for (name,) in names}  # noqa: S608


def _relation(connection: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    found = connection.execute(query)
    columns = [one[0] for one in found.description or ()]
    return [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


def _objects(values: Values) -> Iterator[tuple[str, bytes]]:
    """Yield the objects of a bucket in the order in which they were stored."""
    bucket = f"{values['s3_url']}/{values['bucket']}"
    listing = ET.fromstring(request(f"{bucket}?list-type=2"))  # noqa: S314 - our own server
    space = {"s3": listing.tag.partition("}")[0][1:]}
    found = [
        (one.findtext("s3:LastModified", "", space), one.findtext("s3:Key", "", space))
        for one in listing.findall("s3:Contents", space)
    ]
    for _, key in sorted(found):
        yield key, request(f"{bucket}/{key}")


def s3_json_lines(_folder: Path, values: Values) -> Stored:
    """Read objects of JSON Lines."""
    return _group((_stream_of(key), _lines(data)) for key, data in _objects(values))


def s3_csv(_folder: Path, values: Values) -> Stored:
    """Read CSV objects."""
    return _group((_stream_of(key), _csv(data)) for key, data in _objects(values))


def s3_parquet(folder: Path, values: Values) -> Stored:
    """Read Parquet objects."""
    parts = []
    file = folder / "object.parquet"
    with duckdb.connect() as connection:
        for key, data in _objects(values):
            file.write_bytes(data)
            parts.append((_stream_of(key), _parquet(connection, file)))
    return _group(parts)


def stitch(_folder: Path, values: Values) -> Stored:
    """Read the batches that Stitch's API received."""
    return _group(
        (
            batch["table_name"],
            [one["data"] for one in batch["messages"] if one["action"] == "upsert"],
        )
        for batch in map(_loads, values["store"].batches)
    )


def clickhouse(_folder: Path, values: Values) -> Stored:
    """Read all tables of a ClickHouse database."""
    url, room = values["clickhouse_url"], values["room"]
    tables = request(url, f"SHOW TABLES FROM {room}".encode()).decode().split()
    stored: Stored = {}
    for table in tables:
        query = (
            f"SELECT * FROM {room}.{table} FORMAT JSONEachRow"  # noqa: S608
            " SETTINGS output_format_json_quote_64bit_integers = 0"
        )
        stored[table] = list(map(_loads, request(url, query.encode()).splitlines()))
    return stored
