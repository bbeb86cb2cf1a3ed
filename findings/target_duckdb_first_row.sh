#!/usr/bin/env bash
# target-duckdb 0.8.0 (the newest on PyPI) with duckdb 2.0.1: the first row is lost if all columns are text.
#
# The loader writes a batch to a CSV file without a header and loads it with COPY, without saying that there is no
# header. DuckDB then guesses: if all columns are text, it takes the first row for one. The loader exits with 0 and
# confirms the state. Version 0.9.0 of MeltanoLabs, which is not on PyPI, does not lose it.
#
# Output (Python 3.11; three rows sent, "Loading 3 rows" in the loader's log, exit code 0):
#   b second
#   c third
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check target-duckdb==0.8.0 duckdb==2.0.1

cd "$folder"
echo '{"filepath": "warehouse.duckdb", "default_target_schema": "main"}' > config.json
venv/bin/target-duckdb --config config.json > state 2> log <<'INPUT'
{"type":"SCHEMA","stream":"t","schema":{"type":"object","properties":{"id":{"type":"string"},"name":{"type":["string","null"]}}},"key_properties":["id"]}
{"type":"RECORD","stream":"t","record":{"id":"a","name":"first"}}
{"type":"RECORD","stream":"t","record":{"id":"b","name":"second"}}
{"type":"RECORD","stream":"t","record":{"id":"c","name":"third"}}
INPUT
grep -q "Loading 3 rows" log
venv/bin/python - <<'READ' | tee result
import duckdb

for row in duckdb.connect("warehouse.duckdb").execute("SELECT id, name FROM t ORDER BY id").fetchall():
    print(*row)
READ

diff result - <<'EXPECTED'
b second
c third
EXPECTED
