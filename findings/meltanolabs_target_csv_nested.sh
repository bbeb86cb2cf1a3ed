#!/usr/bin/env bash
# meltanolabs-target-csv 0.5.0 (singer-sdk 0.54.9): nested values are Python literals, which no JSON reader can read.
#
# A column with an object or an array contains the text of a Python object: single quotes, None, True, and every
# decimal as a call of a class. Even Python's own ast.literal_eval refuses that call. The loader exits with 0.
#
# Output (Python 3.11):
#   id,options
#   1,"[{'fee': Decimal('0.10'), 'note': None}]"
#   json.loads: JSONDecodeError
#   ast.literal_eval: ValueError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check meltanolabs-target-csv==0.5.0 singer-sdk==0.54.9

cd "$folder"
echo '{"output_path": "."}' > config.json
venv/bin/target-csv --config config.json > state 2> log <<'INPUT'
{"type":"SCHEMA","stream":"t","schema":{"type":"object","properties":{"id":{"type":"integer"},"options":{"type":["array","null"],"items":{"type":["object","null"],"properties":{"fee":{"type":["number","null"]},"note":{"type":["string","null"]}}}}}},"key_properties":["id"]}
{"type":"RECORD","stream":"t","record":{"id":1,"options":[{"fee":0.10,"note":null}]}}
INPUT
tr -d '\r' < t.csv > result
venv/bin/python - >> result <<'READ'
import ast
import csv
import json

with open("t.csv", newline="") as file:
    (row,) = csv.DictReader(file)
for name, read in (("json.loads", json.loads), ("ast.literal_eval", ast.literal_eval)):
    try:
        print(f"{name}:", read(row["options"]))
    except ValueError as error:
        print(f"{name}:", type(error).__name__)
READ
cat result

diff result - <<'EXPECTED'
id,options
1,"[{'fee': Decimal('0.10'), 'note': None}]"
json.loads: JSONDecodeError
ast.literal_eval: ValueError
EXPECTED
