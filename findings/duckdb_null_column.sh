#!/usr/bin/env bash
# duckdb 2.0.1: a JSON column that is null throughout the sample stays null for the rest of the file.
#
# read_ndjson gives such a column the type "NULL" and reads every later value as NULL, of any type, without an error.
# The sample has 20,480 rows. Version 1.5.6 gives the column the type JSON and reads the values.
#
# Output (Python 3.11; the last of 25,001 rows is {"id": 25000, "text": "kept?", "number": 7, "object": {"a": 1}}):
#   1.5.6 {"id": 25000, "text": "\"kept?\"", "number": "7", "object": "{\"a\":1}"}
#   2.0.1 {"id": 25000, "text": null, "number": null, "object": null}
#   2.0.1 count(text) = 0
#   2.0.1 with sample_size = -1: count(text) = 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 1.5.6 2.0.1; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -qq --disable-pip-version-check duckdb==$version
done

cd "$folder"
cat > read.py <<'READ'
import json
import sys

import duckdb

with open("rows.jsonl", "w") as file:
    for number in range(25_000):
        print(f'{{"id": {number}, "text": null, "number": null, "object": null}}', file=file)
    print('{"id": 25000, "text": "kept?", "number": 7, "object": {"a": 1}}', file=file)

version = duckdb.__version__
names = ["id", "text", "number", "object"]
row = duckdb.sql("FROM 'rows.jsonl' ORDER BY id DESC LIMIT 1").fetchall()[0]
print(version, json.dumps(dict(zip(names, row))))
if sys.argv[1:]:
    print(version, "count(text) =", duckdb.sql("SELECT count(text) FROM 'rows.jsonl'").fetchall()[0][0])
    query = "SELECT count(text) FROM read_ndjson('rows.jsonl', sample_size = -1)"
    print(version, "with sample_size = -1: count(text) =", duckdb.sql(query).fetchall()[0][0])
READ
{ 1.5.6/bin/python read.py; 2.0.1/bin/python read.py more; } | tee result

diff result - <<'EXPECTED'
1.5.6 {"id": 25000, "text": "\"kept?\"", "number": "7", "object": "{\"a\":1}"}
2.0.1 {"id": 25000, "text": null, "number": null, "object": null}
2.0.1 count(text) = 0
2.0.1 with sample_size = -1: count(text) = 1
EXPECTED
