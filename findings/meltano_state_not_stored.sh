#!/usr/bin/env bash
# meltano 4.4.1: a run whose state cannot be stored exits with 0.
#
# With a state backend of files (also S3 and other clouds), a process that is killed while it takes the lock leaves an
# empty file "lock". The next run cannot read it (ValueError: could not convert string to float: ''), logs a traceback, does
# not store the state, and is a success. It removes the lock, so that only one state is lost.
#
# Output (Python 3.11; the tap counts its runs in the state, the lock is empty before the second run):
#   run 1: exit code 0, stored state 1
#   run 2: exit code 0, stored state 1
#   run 3: exit code 0, stored state 2
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
  - {name: tap-rows, namespace: tap_rows, executable: ./tap.py, capabilities: [state]}
  loaders:
  - {name: target-rows, namespace: target_rows, executable: ./target.py}
PROJECT
cat > tap.py <<TAP
#!$folder/venv/bin/python
import json, sys

state = {"run": 0}
if "--state" in sys.argv:
    with open(sys.argv[sys.argv.index("--state") + 1]) as file:
        state = json.load(file) or state
print(json.dumps({"type": "STATE", "value": {"run": state["run"] + 1}}))
TAP
cat > target.py <<TARGET
#!$folder/venv/bin/python
import json, sys

for line in sys.stdin:
    print(json.dumps(json.loads(line)["value"]), flush=True)
TARGET
chmod +x tap.py target.py
mkdir states
export MELTANO_STATE_BACKEND_URI="file://$folder/states"
state="states/dev:tap-rows-to-target-rows"

run() {
    venv/bin/meltano run tap-rows target-rows > log 2>&1 && code=0 || code=$?
    echo "run $1: exit code $code, stored state $(sed 's/.*"run": *\([0-9]*\).*/\1/' "$state/state.json")"
}
{
    run 1
    : > "$state/lock"
    run 2
    grep -q "could not convert string to float: ''" log
    run 3
} | tee result

diff result - <<'EXPECTED'
run 1: exit code 0, stored state 1
run 2: exit code 0, stored state 1
run 3: exit code 0, stored state 2
EXPECTED
