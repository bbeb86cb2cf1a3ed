#!/usr/bin/env bash
# target-duckdb 0.8.0 (the newest on PyPI): a batch can lose its first row, depending on the version of DuckDB.
#
# The loader writes a batch to a CSV file without a header, with the columns in the order of their names, and loads it
# with COPY, without saying that there is no header. DuckDB then guesses from the first line:
#
# - duckdb 1.0.0 and older lose no row;
# - 1.1.3 to 1.2.2 take the line for a header if all columns are text;
# - 1.3.0 to 2.0.1 also take it for one if a value is a date-time with `Z`, whatever the other columns are.
#
# In all versions, the line is kept if its first value is empty: that of the column whose name sorts first. The loader
# exits with 0 and confirms the state. Version 0.9.0 of MeltanoLabs, which is not on PyPI, does not lose the row.
#
# Output (Python 3.11; in each stream three rows were sent, exit code 0):
#   duckdb 1.0.0: texts a b c, times 1 2 3, first_value_is_null 1 2 3
#   duckdb 1.2.2: texts b c, times 1 2 3, first_value_is_null 1 2 3
#   duckdb 2.0.1: texts b c, times 2 3, first_value_is_null 1 2 3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"

cd "$folder"
cat > input <<'INPUT'
{"type":"SCHEMA","stream":"texts","schema":{"type":"object","properties":{"id":{"type":"string"},"name":{"type":["string","null"]}}},"key_properties":["id"]}
{"type":"RECORD","stream":"texts","record":{"id":"a","name":"first"}}
{"type":"RECORD","stream":"texts","record":{"id":"b","name":"second"}}
{"type":"RECORD","stream":"texts","record":{"id":"c","name":"third"}}
{"type":"SCHEMA","stream":"times","schema":{"type":"object","properties":{"id":{"type":"integer"},"time":{"type":["string","null"],"format":"date-time"}}},"key_properties":["id"]}
{"type":"RECORD","stream":"times","record":{"id":1,"time":"2026-01-01T10:00:00Z"}}
{"type":"RECORD","stream":"times","record":{"id":2,"time":"2026-01-02T10:00:00Z"}}
{"type":"RECORD","stream":"times","record":{"id":3,"time":"2026-01-03T10:00:00Z"}}
{"type":"SCHEMA","stream":"first_value_is_null","schema":{"type":"object","properties":{"id":{"type":"integer"},"a":{"type":["string","null"]},"time":{"type":["string","null"],"format":"date-time"}}},"key_properties":["id"]}
{"type":"RECORD","stream":"first_value_is_null","record":{"id":1,"a":null,"time":"2026-01-01T10:00:00Z"}}
{"type":"RECORD","stream":"first_value_is_null","record":{"id":2,"a":"b","time":"2026-01-02T10:00:00Z"}}
{"type":"RECORD","stream":"first_value_is_null","record":{"id":3,"a":"c","time":"2026-01-03T10:00:00Z"}}
INPUT
cat > read.py <<'READ'
import duckdb

with duckdb.connect("warehouse.duckdb") as connection:
    streams = ("texts", "times", "first_value_is_null")
    ids = {name: connection.execute(f"SELECT id FROM {name} ORDER BY id").fetchall() for name in streams}
found = ", ".join(" ".join([name, *(str(one) for (one,) in rows)]) for name, rows in ids.items())
print(f"duckdb {duckdb.__version__}: {found}")
READ
echo '{"filepath": "warehouse.duckdb", "default_target_schema": "main"}' > config.json
for version in 1.0.0 1.2.2 2.0.1; do
  venv/bin/pip install -qq --disable-pip-version-check target-duckdb==0.8.0 "duckdb==$version"
  rm -f warehouse.duckdb
  venv/bin/target-duckdb --config config.json < input > state 2> log
  test "$(grep -c "Loading 3 rows" log)" = 3
  venv/bin/python read.py
done | tee result

diff result - <<'EXPECTED'
duckdb 1.0.0: texts a b c, times 1 2 3, first_value_is_null 1 2 3
duckdb 1.2.2: texts b c, times 1 2 3, first_value_is_null 1 2 3
duckdb 2.0.1: texts b c, times 2 3, first_value_is_null 1 2 3
EXPECTED
