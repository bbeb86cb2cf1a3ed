#!/usr/bin/env bash
# singer-sdk 0.54.9: of two stream maps that match a stream, only the last one applies.
#
# Keys of `stream_maps` may be patterns. A reader expects `user*` to add to `users`, or the exact name to win. The later
# key replaces the earlier one as a whole, so its rules for single fields are lost, without a word in the log.
#
# Output (Python 3.11), a record of `users`:
#   users, then user*: {'id': 1, 'email': 'a', 'loaded': 'yes'}
#   user*, then users: {'id': 1}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check singer-sdk==0.54.9

"$folder/venv/bin/python" - <<'PROGRAM' | tee "$folder/result"
import logging

from singer_sdk.mapper import PluginMapper
from singer_sdk.singerlib import Catalog

exact, pattern = {"users": {"email": None}}, {"user*": {"loaded": "'yes'"}}
text = {"type": ["string", "null"]}
entry = {
    "tap_stream_id": "users",
    "stream": "users",
    "key_properties": ["id"],
    "schema": {"type": "object", "properties": {"id": {"type": "integer"}, "email": text}},
    "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
}
for name, maps in (("users, then user*", exact | pattern), ("user*, then users", pattern | exact)):
    mapper = PluginMapper({"stream_maps": maps}, logging.getLogger())
    mapper.register_raw_streams_from_catalog(Catalog.from_dict({"streams": [entry]}))
    (stream_map,) = mapper.stream_maps["users"]
    print(f"{name}: {stream_map.transform({'id': 1, 'email': 'a'})}")
PROGRAM

diff "$folder/result" - <<'EXPECTED'
users, then user*: {'id': 1, 'email': 'a', 'loaded': 'yes'}
user*, then users: {'id': 1}
EXPECTED
