#!/usr/bin/env bash
# singer-sdk 0.54.9: flattening fails for a stream with a top-level description and a field "description".
#
# To decide whether a value becomes JSON text, _flattening._should_jsondump_value looks up the field's name at the top
# level of the schema, not below "properties". It finds the schema's own description, a string, and if that string
# contains the letters "type", it is indexed like a schema. The two taps below differ in one word.
#
# Output (Python 3.11):
#   Ticket kinds.  "record":{"id":1,"description":"x"}
#   Ticket types.  TypeError: string indices must be integers, not 'str'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check singer-sdk==0.54.9

cat > "$folder/tap.py" <<'TAP'
import os

from singer_sdk import Stream, Tap


class Rows(Stream):
    name = "rows"
    schema = {
        "type": "object",
        "description": os.environ["DESCRIPTION"],
        "properties": {"id": {"type": "integer"}, "description": {"type": "string"}},
    }

    def get_records(self, context):
        yield {"id": 1, "description": "x"}


class TapRows(Tap):
    name = "tap-rows"
    config_jsonschema = {"type": "object", "properties": {}}

    def discover_streams(self):
        return [Rows(self)]


TapRows.cli()
TAP
echo '{"flattening_enabled": true, "flattening_max_depth": 1}' > "$folder/config.json"

for description in "Ticket kinds." "Ticket types."; do
    DESCRIPTION=$description "$folder/venv/bin/python" "$folder/tap.py" --config "$folder/config.json" \
        > "$folder/output" 2> "$folder/log" || true
    result=$(grep -o '"record":{[^}]*}' "$folder/output" || grep -m 1 '^[A-Za-z]*Error' "$folder/log")
    echo "$description  $result"
done | tee "$folder/result"

grep -q '^Ticket kinds.  "record":{"id":1,"description":"x"}$' "$folder/result"
grep -q '^Ticket types.  TypeError: string indices must be integers' "$folder/result"
