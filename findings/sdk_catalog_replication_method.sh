#!/usr/bin/env bash
# singer-sdk 0.54.9: the standard catalog metadata "replication-method" has no effect.
#
# Singer's catalog selects FULL_TABLE in a stream's metadata, where Meltano's `metadata` extra writes it, too. A tap of
# the SDK reads only "replication_method" of the catalog entry itself. With the metadata alone, the run stays
# incremental, without a warning: rows before the bookmark are not read.
#
# Output (Python 3.11; the source has the rows 1 and 2, the bookmark is at row 2):
#   catalog as discovered           rows: 2
#   metadata replication-method     rows: 2
#   entry's replication_method      rows: 1 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check singer-sdk==0.54.9

cat > "$folder/tap.py" <<'TAP'
from singer_sdk import Stream, Tap

ROWS = [{"id": 1, "at": "2026-01-01T00:00:00Z"}, {"id": 2, "at": "2026-01-02T00:00:00Z"}]


class Rows(Stream):
    name = "rows"
    schema = {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "at": {"type": "string", "format": "date-time"}},
    }
    primary_keys = ("id",)
    replication_key = "at"

    def get_records(self, context):
        start = self.get_starting_replication_key_value(context) or ""
        yield from (row for row in ROWS if row["at"] >= start)


class TapRows(Tap):
    name = "tap-rows"
    config_jsonschema = {"type": "object", "properties": {}}

    def discover_streams(self):
        return [Rows(self)]


TapRows.cli()
TAP
cd "$folder"
echo '{}' > config.json
echo '{"bookmarks": {"rows": {"replication_key": "at", "replication_key_value": "2026-01-02T00:00:00Z"}}}' > state.json
venv/bin/python tap.py --config config.json --discover > discovered.json 2> log

venv/bin/python - <<'EDIT'
import json

for name in ("metadata", "entry"):
    with open("discovered.json") as file:
        catalog = json.load(file)
    (entry,) = catalog["streams"]
    (stream,) = (one["metadata"] for one in entry["metadata"] if not one["breadcrumb"])
    (stream if name == "metadata" else entry)[
        "replication-method" if name == "metadata" else "replication_method"
    ] = "FULL_TABLE"
    with open(f"{name}.json", "w") as file:
        json.dump(catalog, file)
EDIT

rows() {
    venv/bin/python tap.py --config config.json --state state.json --catalog "$2" > output 2> log
    echo "$1 rows:$(sed -n 's/.*"record":{"id":\([0-9]*\).*/ \1/p' output | tr -d '\n')"
}
{
    rows "catalog as discovered          " discovered.json
    rows "metadata replication-method    " metadata.json
    rows "entry's replication_method     " entry.json
} | tee result

diff result - <<'EXPECTED'
catalog as discovered           rows: 2
metadata replication-method     rows: 2
entry's replication_method      rows: 1 2
EXPECTED
