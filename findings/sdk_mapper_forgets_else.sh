#!/usr/bin/env bash
# singer-sdk 0.54.9: a mapper removes `__else__` from the settings that it is given.
#
# `__else__: null` in `stream_maps` drops all streams without a map. The first mapper works, and takes the key out of the
# caller's own dictionary. A second one with the same settings, such as another tap in the process, keeps the streams.
#
# Output (Python 3.11), what happens to `groups` if only `users` has a map:
#   first mapper: RemoveRecordTransform
#   second mapper: SameRecordTransform
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check singer-sdk==0.54.9

"$folder/venv/bin/python" - <<'PROGRAM' | tee "$folder/result"
import logging

from singer_sdk.mapper import PluginMapper
from singer_sdk.singerlib import Catalog

entry = {
    "tap_stream_id": "groups",
    "stream": "groups",
    "key_properties": ["id"],
    "schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
    "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
}
settings = {"stream_maps": {"users": {}, "__else__": None}}
for name in ("first", "second"):
    mapper = PluginMapper(settings, logging.getLogger())
    mapper.register_raw_streams_from_catalog(Catalog.from_dict({"streams": [entry]}))
    (stream_map,) = mapper.stream_maps["groups"]
    print(f"{name} mapper: {type(stream_map).__name__}")
PROGRAM

diff "$folder/result" - <<'EXPECTED'
first mapper: RemoveRecordTransform
second mapper: SameRecordTransform
EXPECTED
