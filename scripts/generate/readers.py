"""The views for DuckDB and ClickHouse of the files of target-jsonl, examples/*.sql."""

from __future__ import annotations

import typing as t

from examples.readers import sql
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.tap import TapCampusGroups

if t.TYPE_CHECKING:
    from collections.abc import Mapping

_DUCKDB: t.Final = f"""\
-- The files of target-jsonl in DuckDB 2.0 or newer. Run it in the folder that has `output/`:
--
--     meltano run tap-campusgroups target-jsonl
--     duckdb warehouse.duckdb < examples/duckdb.sql
--
-- For each stream, `<stream>` has the newest row of each id, deleted rows included, and
-- `<stream>_lines` every row as often as the tap has read it. A stream without a file is empty.
-- '/dev/null' gives it its columns: with `allow_empty` alone, DuckDB ignores `columns`.
-- What is exact and what is not: docs/readers.md.
--
-- Generated from the schemas by `make generate`; do not edit. For your own catalog or folder:
--     {sql.COMMAND} duckdb catalog.json > views.sql

"""

_CLICKHOUSE: t.Final = f"""\
-- The files of target-jsonl in ClickHouse. Run it in the folder that has `output/`:
--
--     meltano run tap-campusgroups target-jsonl
--     python                          # with `pip install chdb`
--     >>> from chdb.session import Session
--     >>> session = Session()
--     >>> session.query(open("examples/clickhouse.sql").read())
--     >>> session.query("SELECT count() FROM events")
--
-- For each stream, `<stream>` has the newest row of each id, deleted rows included. A stream
-- without a file is empty. Objects and arrays are JSON text, as in the file.
-- What is exact and what is not: docs/readers.md.
--
-- Generated from the schemas by `make generate`; do not edit. For your own catalog or folder:
--     {sql.COMMAND} clickhouse catalog.json > views.sql

"""  # noqa: S608 - no SQL


def _schemas() -> Mapping[str, Mapping[str, t.Any]]:
    tap = TapCampusGroups(config={"api_version": ApiVersion.V1_1}, validate_config=False)
    return {name: stream.schema for name, stream in tap.streams.items()}


def duckdb() -> str:
    """Return the views for DuckDB."""
    return _DUCKDB + sql.duckdb(_schemas())


def clickhouse() -> str:
    """Return the views for ClickHouse."""
    return _CLICKHOUSE + sql.clickhouse(_schemas())
