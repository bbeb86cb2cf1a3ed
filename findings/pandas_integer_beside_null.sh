#!/usr/bin/env bash
# pandas 3.1.1: integer columns with a null hold rounded integers, although their type is an exact integer.
#
# read_json parses the column as floats first, whatever dtype or dtype_backend asks for. Without the null, the value is
# right. And a column of the exact Arrow type list<int64> becomes floats in astype(object), where an item is null.
#
# Output (Python 3.11, pyarrow 26.0.1; the value in the file is 9007199254740993):
#   dtype={'id': 'Int64'}        Int64            9007199254740992
#   dtype_backend='pyarrow'      int64[pyarrow]   9007199254740992
#   dtype_backend='pyarrow'      int64[pyarrow]   9007199254740993  without the null
#   list<int64>                  [9007199254740993, None]
#   list<int64>.astype(object)   [9007199254740992.0, nan]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check pandas==3.1.1 pyarrow==26.0.1

cd "$folder"
cat > read.py <<'READ'
import io

import pandas
import pyarrow


def show(title, lines, note="", **options):
    column = pandas.read_json(io.StringIO(lines), lines=True, **options)["id"]
    print(f"{title:28} {column.dtype!s:16} {column.tolist()[-1]}{note}")


with_null, without = ('{"id": %s}\n{"id": 9007199254740993}\n' % first for first in ("null", "1"))
show("dtype={'id': 'Int64'}", with_null, dtype={"id": "Int64"})
show("dtype_backend='pyarrow'", with_null, dtype_backend="pyarrow")
show("dtype_backend='pyarrow'", without, "  without the null", dtype_backend="pyarrow")
kind = pandas.ArrowDtype(pyarrow.list_(pyarrow.int64()))
column = pandas.Series([[9007199254740993, None]], dtype=kind)
print(f"{'list<int64>':28} {list(column[0])}")
print(f"{'list<int64>.astype(object)':28} {column.astype(object)[0].tolist()}")
READ
venv/bin/python read.py | tee result

diff result - <<'EXPECTED'
dtype={'id': 'Int64'}        Int64            9007199254740992
dtype_backend='pyarrow'      int64[pyarrow]   9007199254740992
dtype_backend='pyarrow'      int64[pyarrow]   9007199254740993  without the null
list<int64>                  [9007199254740993, None]
list<int64>.astype(object)   [9007199254740992.0, nan]
EXPECTED
