#!/usr/bin/env bash
# meltano 4.4.1: a run whose loader exits early with exit code 0 is a success, although the tap was killed.
#
# If the loader ends before the tap, Meltano kills the tap (SIGKILL), and "pretends the producer finished successfully".
# The exit code is the loader's. Loaders of the Singer SDK (0.54.9) exit with 0 after SIGTERM, so a loader that somebody or
# something stops makes a green run with a part of the rows.
#
# Output (Python 3.11; the tap emits a row and its state, then waits; the loader confirms them and exits with 0):
#   exit code of meltano run: 0
#   recorded: SUCCESS
#   tap: started
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
  - {name: tap-rows, namespace: tap_rows, executable: ./tap.sh, capabilities: [state]}
  loaders:
  - {name: target-rows, namespace: target_rows, executable: ./target.sh}
PROJECT
cat > tap.sh <<'TAP'
#!/bin/sh
echo "tap: started" > tap.log
echo '{"type":"SCHEMA","stream":"t","schema":{"type":"object","properties":{"id":{"type":"integer"}}},"key_properties":["id"]}'
echo '{"type":"RECORD","stream":"t","record":{"id":1}}'
echo '{"type":"STATE","value":{"bookmarks":{"t":{"position":1}}}}'
trap 'echo "tap: told to stop" >> tap.log; exit 1' INT TERM HUP PIPE
sleep 60 &
wait
echo "tap: done" >> tap.log
TAP
cat > target.sh <<'TARGET'
#!/bin/sh
read -r schema; read -r record; read -r state
echo '{"bookmarks":{"t":{"position":1}}}'
exit 0
TARGET
chmod +x tap.sh target.sh

venv/bin/meltano run tap-rows target-rows > log 2>&1 && code=0 || code=$?
{
    echo "exit code of meltano run: $code"
    venv/bin/python -c 'import sqlite3
for row in sqlite3.connect(".meltano/meltano.db").execute("SELECT state FROM runs"): print("recorded:", *row)'
    cat tap.log
} | tee result

diff result - <<'EXPECTED'
exit code of meltano run: 0
recorded: SUCCESS
tap: started
EXPECTED
