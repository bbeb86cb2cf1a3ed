#!/usr/bin/env bash
# polars 2.1.0: read_ndjson empties objects and lists that are empty in the first 100 rows, without an error.
#
# Types are inferred from the first 100 rows (infer_schema_length). A column that is null in all of them is an error
# when a value follows. An object without fields or a list without items is not: its later fields are dropped, and its
# later items become null. scan_ndjson does the same.
#
# Output (Python 3.11; "before" is what 100 rows have, then the value of the last row and what Polars makes of it):
#   before   last row            read as
#   {}       {"a": 1}            {}
#   []       [1, 2]              [None, None]
#   []       ["x"]               [None]
#   [{}]     [{"a": 1}]          [{}]
#   {"a": 1} {"a": 1, "b": 2}    {'a': 1}
#   null     7                   ComputeError
#   {}       {"a": 1}            {'a': 1} with infer_schema_length=None
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check polars==2.1.0

cd "$folder"
cat > read.py <<'READ'
import io

import polars


def show(before, last, note="", **options):
    text = f'{{"v": {before}}}\n' * 100 + f'{{"v": {last}}}\n'
    try:
        value = polars.read_ndjson(io.StringIO(text), **options).to_dicts()[-1]["v"]
        assert value == polars.scan_ndjson(text.encode(), **options).collect().to_dicts()[-1]["v"]
    except polars.exceptions.ComputeError as error:
        value = type(error).__name__
    print(f"{before:8} {last:19} {value}{note}")


print(f"{'before':8} {'last row':19} read as")
show("{}", '{"a": 1}')
show("[]", "[1, 2]")
show("[]", '["x"]')
show("[{}]", '[{"a": 1}]')
show('{"a": 1}', '{"a": 1, "b": 2}')
show("null", "7")
show("{}", '{"a": 1}', " with infer_schema_length=None", infer_schema_length=None)
READ
venv/bin/python read.py | tee result

diff result - <<'EXPECTED'
before   last row            read as
{}       {"a": 1}            {}
[]       [1, 2]              [None, None]
[]       ["x"]               [None]
[{}]     [{"a": 1}]          [{}]
{"a": 1} {"a": 1, "b": 2}    {'a': 1}
null     7                   ComputeError
{}       {"a": 1}            {'a': 1} with infer_schema_length=None
EXPECTED
