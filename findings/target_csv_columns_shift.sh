#!/usr/bin/env bash
# target-csv 0.3.0 (Singer.io), Python 3.9: values move into other columns if a nested object is null in the first row.
#
# The loader takes its header from the first record of a file and flattens every record by the keys that it has. A
# record in which a nullable object is filled has more values than the header has columns, and all values after the
# object are in the wrong column. The loader exits with 0. (Newer versions of Python cannot run it.)
#
# Output (Python 3.9.18; the note of row 2 is "second", and its column is the third):
#   id,status,note
#   1,,first
#   2,7,Paid,second
#   3,,third
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.9}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check target-csv==0.3.0 2> "$folder/log"

cd "$folder"
echo '{"destination_path": ".", "disable_collection": true}' > config.json
venv/bin/target-csv --config config.json > state 2> log <<'INPUT'
{"type":"SCHEMA","stream":"payments","schema":{"type":"object","properties":{"id":{"type":"integer"},"status":{"type":["object","null"],"properties":{"id":{"type":["integer","null"]},"name":{"type":["string","null"]}}},"note":{"type":["string","null"]}}},"key_properties":["id"]}
{"type":"RECORD","stream":"payments","record":{"id":1,"status":null,"note":"first"}}
{"type":"RECORD","stream":"payments","record":{"id":2,"status":{"id":7,"name":"Paid"},"note":"second"}}
{"type":"RECORD","stream":"payments","record":{"id":3,"status":null,"note":"third"}}
INPUT
tr -d '\r' < payments-*.csv | tee result

diff result - <<'EXPECTED'
id,status,note
1,,first
2,7,Paid,second
3,,third
EXPECTED
