"""Files of target-jsonl in DuckDB, with the types that `examples/readers` generates."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from examples.readers import sql
from tap_campusgroups.tap import TapCampusGroups
from tests.readers.cases import CASES, parsed
from tests.simulator import Dataset, Simulator
from tests.simulator.dataset import tap_schemas
from tests.support import documents
from tests.support.harness import NEWEST, settings_for, sync
from tests.support.loaded_values import differences
from tests.support.pipeline import write_jsonl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMAS = tap_schemas("1.1")
WITHOUT_FILE = "stores"


def rows_of(
    connection: duckdb.DuckDBPyConnection, view: str, schema: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the rows of a view, with their JSON parsed."""
    result = connection.execute(f'FROM "{view}" ORDER BY id')
    names = [column[0] for column in result.description]
    fields = schema["properties"]
    return [
        {name: parsed(fields[name], value) for name, value in zip(names, row, strict=True)}
        for row in result.fetchall()
    ]


def test_duckdb_views_hold_every_value_of_all_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset(3, newest=NEWEST, schemas=SCHEMAS)
    for stream in dataset.streams:
        dataset[stream][0] = dataset.full_row(stream)
    dataset["payments"][0].update(amount="12345678901234567890.123456789", refId=2**53 + 1)
    dataset["payments"][1]["newField"] = {"a": [2**60, None]}
    dataset["groups"][1]["membershipOptions"] = [
        {"name": "x", "fee": "12345678901234567890.1", "duration": None, "optionNum": 1},
        None,
    ]
    output = tmp_path / "output" / "campusgroups"
    output.mkdir(parents=True)
    with Simulator(dataset) as service:
        run = sync(settings_for(service, api_version="1.1"))
    assert run.error is None
    lines = [one for one in run.text.split("\n") if one and f'"{WITHOUT_FILE}"' not in one]
    write_jsonl("\n".join(lines * 2), output)
    emitted: dict[str, list[dict[str, Any]]] = {stream: [] for stream in SCHEMAS}
    for message in (json.loads(line, parse_float=Decimal) for line in lines):
        if message["type"] == "RECORD":
            emitted[message["stream"]].append(message["record"])

    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as connection:
        connection.execute(documents.read("examples/duckdb.sql"))
        for stream, schema in SCHEMAS.items():
            loaded = rows_of(connection, stream, schema)
            assert len(loaded) == 3 * (stream != WITHOUT_FILE)
            for record, row in zip(
                sorted(emitted[stream], key=lambda one: int(one["id"])), loaded, strict=True
            ):
                assert not differences(schema, record, row), stream
        counted = connection.execute("SELECT count(*) FROM events_lines").fetchone()
    assert counted == (6,)


@pytest.mark.parametrize("name", CASES)
def test_duckdb_with_declared_types_reads_documented_outcome(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    case.write(tmp_path / "case.jsonl", rows_before=1)
    (row,) = [
        line for line in documents.read("docs/readers.md").split("\n") if f"| {name} |" in line
    ]
    with duckdb.connect() as connection:
        connection.execute(sql.duckdb({"case": case.schema}, str(tmp_path)))
        outcome = case.outcome(
            lambda: connection.execute("SELECT value FROM case_lines").fetchall()[-1][0]
        )
    assert f"→ {outcome} " in row.split("|")[2]


def test_command_writes_the_views_of_a_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = tmp_path / "catalog.json"
    tap = TapCampusGroups(config={"api_version": "1.1"}, validate_config=False)
    catalog.write_text(tap.catalog_json_text, encoding="utf-8")
    for reader in ("duckdb", "clickhouse"):
        monkeypatch.setattr("sys.argv", ["sql", reader, str(catalog)])
        sql.main()
        assert documents.read(f"examples/{reader}.sql").endswith(capsys.readouterr().out)
