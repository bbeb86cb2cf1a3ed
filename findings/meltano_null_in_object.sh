#!/usr/bin/env bash
# meltano 4.4.1: a null inside an object setting of meltano.yml is dropped in silence.
#
# In Singer stream maps, `email: null` removes a field. Meltano hands the plugin an object without that key, so the
# field stays. The text `__NULL__`, which the SDK takes for null, arrives.
#
# Output (Python 3.11), what the plugin gets:
#   {"users": {"firstName": "__NULL__", "id": "id"}}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check meltano==4.4.1
export MELTANO_SEND_ANONYMOUS_USAGE_STATS=false MELTANO_CLI_DISABLE_VERSION_CHECK=true
cd "$folder"

cat > meltano.yml <<'PROJECT'
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-rows
    namespace: tap_rows
    executable: "true"
    settings: [{name: stream_maps, kind: object}]
    config:
      stream_maps:
        users: {id: id, email: null, firstName: __NULL__}
PROJECT
venv/bin/meltano config print tap-rows 2> log \
  | venv/bin/python -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["stream_maps"], sort_keys=True))' \
  | tee result

diff result - <<'EXPECTED'
{"users": {"firstName": "__NULL__", "id": "id"}}
EXPECTED
