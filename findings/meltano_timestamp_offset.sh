#!/usr/bin/env bash
# meltano 4.4.1: a timestamp without quotes in meltano.yml loses its offset.
#
# YAML makes it a timestamp, and Meltano hands it to the plugin without offset and fraction. A plugin that takes a
# timestamp without offset for UTC is off by hours, and cannot notice it.
#
# Output (Python 3.11):
#   "quoted": "2024-09-01T00:00:00.5+02:00"
#   "unquoted": "2024-09-01T00:00:00"
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
    settings: [{name: unquoted}, {name: quoted}]
    config:
      unquoted: 2024-09-01T00:00:00.5+02:00
      quoted: "2024-09-01T00:00:00.5+02:00"
PROJECT
venv/bin/meltano config print tap-rows 2> log | grep -o '"[a-z]*quoted": "[^"]*"' | sort | tee result

diff result - <<'EXPECTED'
"quoted": "2024-09-01T00:00:00.5+02:00"
"unquoted": "2024-09-01T00:00:00"
EXPECTED
