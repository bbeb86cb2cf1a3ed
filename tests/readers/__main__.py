"""Measure what each reader makes of the cases; fail if docs/readers.md has another table."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chdb
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.json
from chdb.session import Session

from examples.readers import frames, sql
from tests.readers.cases import CASES
from tests.simulator.dataset import tap_schemas
from tests.support import documents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Schema = Mapping[str, Any]
    Row = Mapping[str, Any]

PAGE = Path(__file__).parents[2] / "docs" / "readers.md"


@dataclass(frozen=True)
class Reader:
    """A reader: returns the last row, with inferred types or with those of a schema."""

    title: str
    infer: Callable[[Path], Row]
    declare: Callable[[Path, Schema], Row]


def _duckdb_row(query: str, *script: str) -> Row:
    with duckdb.connect() as connection:
        for one in script:
            connection.execute(one)
        result = connection.execute(query)
        names = [column[0] for column in result.description]
        return dict(zip(names, result.fetchall()[-1], strict=True))


def _duckdb_infer(path: Path) -> Row:
    return _duckdb_row(f"FROM read_ndjson('{path}')")


def _duckdb_declare(path: Path, schema: Schema) -> Row:
    views = sql.duckdb({path.stem: schema}, str(path.parent))
    return _duckdb_row(f'FROM "{path.stem}" ORDER BY id', views)


def _clickhouse_row(query: str, *script: str) -> Row:
    with Session() as session:
        for one in script:
            session.query(one)
        digits = (
            "output_format_json_quote_64bit_integers = 0, output_format_json_quote_decimals = 0"
        )
        text = str(session.query(f"{query} ORDER BY id SETTINGS {digits}", "JSONEachRow"))
    row: Row = json.loads(text.splitlines()[-1], parse_float=Decimal)
    return row


def _clickhouse_infer(path: Path) -> Row:
    return _clickhouse_row(f"SELECT * FROM file('{path}', 'JSONEachRow')")  # noqa: S608


def _clickhouse_declare(path: Path, schema: Schema) -> Row:
    views = sql.clickhouse({path.stem: schema}, str(path.parent))
    return _clickhouse_row(f"SELECT * FROM `{path.stem}`", views)  # noqa: S608


def _arrow_infer(path: Path) -> Row:
    return _last(pyarrow.json.read_json(path).to_pylist())


def _arrow_declare(path: Path, schema: Schema) -> Row:
    return _last(frames.newest(frames.read(path, schema)).to_pylist())


def _pandas_infer(path: Path) -> Row:
    return _last(pd.read_json(path, lines=True).to_dict("records"))


def _pandas_declare(path: Path, schema: Schema) -> Row:
    table = frames.read(path, schema)
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return _last(frame.to_dict("records"))


def _polars_infer(path: Path) -> Row:
    return _last(pl.read_ndjson(path).to_dicts())


def _polars_declare(path: Path, schema: Schema) -> Row:
    return _last(pl.from_arrow(frames.read(path, schema)).to_dicts())


def _polars_scan(path: Path, schema: Schema) -> Row:
    columns = frames.arrow_schema(schema, number=pa.string()).empty_table()
    return _last(pl.scan_ndjson(path, schema=pl.from_arrow(columns).schema).collect().to_dicts())


def _last(rows: Sequence[Row]) -> Row:
    return rows[-1]


READERS = [
    Reader(f"DuckDB {duckdb.__version__}", _duckdb_infer, _duckdb_declare),
    Reader(f"ClickHouse {chdb.engine_version}", _clickhouse_infer, _clickhouse_declare),
    Reader(f"PyArrow {pa.__version__}", _arrow_infer, _arrow_declare),
    Reader(f"pandas {pd.__version__}", _pandas_infer, _pandas_declare),
    Reader(f"Polars {pl.__version__}", _polars_infer, _polars_declare),
    Reader("Polars, `scan_ndjson`", _polars_infer, _polars_scan),
]


def _value(read: Callable[..., Row], *arguments: object) -> Any:
    return read(*arguments)["value"]


def table() -> str:
    """Return the table of all outcomes."""
    lines = [
        f"| value | {' | '.join(reader.title for reader in READERS)} |",
        f"| --- |{' --- |' * len(READERS)}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.jsonl"
        for name, case in CASES.items():
            case.write(path)
            cells = []
            for reader in READERS:
                before = case.outcome(partial(_value, reader.infer, path))
                after = case.outcome(partial(_value, reader.declare, path, case.schema))
                cells.append(f"{before} → {after}")
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


VERSIONS = [
    *((1, None, "0.10"), (1, "2024-05-03T10:00:00.000000Z", "0.20"), (2, None, "0.30")),
    *((3, "2024-05-02T10:00:00.000000Z", "0.40"), (3, "2024-05-02T10:00:00.000000Z", "0.50")),
    *((1, "2024-05-01T10:00:00.000000Z", "0.60"), (2, None, "0.70")),
]
"""Id, `updatedOn` and amount of the lines of a file."""

NEWEST = {1: Decimal("0.20"), 2: Decimal("0.70"), 3: Decimal("0.50")}


def check_documented_code() -> None:
    """Run the code of the page in one folder; its frames must have the newest row of each id."""
    schemas = {"payments": tap_schemas()["payments"]}
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("examples").symlink_to(PAGE.parents[1] / "examples")
        catalog = [{"tap_stream_id": name, "schema": one} for name, one in schemas.items()]
        Path("catalog.json").write_text(json.dumps({"streams": catalog}), encoding="utf-8")
        file = Path(sql.FOLDER, "payments.jsonl")
        file.parent.mkdir(parents=True)
        file.write_text(
            "".join(
                f'{{"id": {key}, "updatedOn": {json.dumps(updated)}, "amount": {amount}}}\n'
                for key, updated, amount in VERSIONS
            ),
            encoding="utf-8",
        )
        names: dict[str, Any] = {}
        results = []
        for block in documents.blocks(page, "python"):
            with redirect_stdout(io.StringIO()):
                exec(block, names)  # noqa: S102 - code of the page
            results.append(_amounts(names))
    if results != [NEWEST] * len(results) or len(results) != 5:
        sys.exit(f"the code of {PAGE.name} does not read the newest rows: {results}")


def _amounts(names: dict[str, Any]) -> dict[int, Decimal]:
    """Return the amount of each id from what a block of code has defined."""
    if "session" in names:
        rows = names.pop("session").query("SELECT id, amount FROM payments", "CSV").data()
        pairs = [line.split(",") for line in rows.splitlines()]
    else:
        frame = names.pop("frame", None)
        table = names["payments"].to_pydict() if frame is None else frame
        pairs = [list(pair) for pair in zip(table["id"], table["amount"], strict=True)]
    return {int(key): Decimal(str(amount)) for key, amount in pairs}


def main() -> None:
    """Print the table, compare it with the documented one, and run the documented code."""
    check_documented_code()
    measured = table()
    print(measured)  # noqa: T201 - output
    if f"\n{measured}\n" not in PAGE.read_text(encoding="utf-8"):
        sys.exit(f"{PAGE.name} has another table")


if __name__ == "__main__":
    main()
