#!/usr/bin/env bash
# meltano 4.4.1: a run with --full-refresh that fails is forgotten by the next run.
#
# Meltano stores the state of a failed run as partial, and merges it over the last complete one. After a full refresh, this
# mixes new bookmarks with old ones: streams that the full refresh did not reach keep their old bookmarks, and the next run
# reads only what is newer.
#
# Output (Python 3.11; streams a and b, first run complete, then a full refresh that fails after a):
#   complete run, exit code 0:  a=old b=old
#   full refresh, exit code 1:  a=new
#   next run starts from:       a=new b=old
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
import json, os, sys

state = {}
if "--state" in sys.argv:
    with open(sys.argv[sys.argv.index("--state") + 1]) as file:
        state = json.load(file)
with open("started_from", "w") as file:
    file.write(" ".join(f"{name}={one['at']}" for name, one in sorted(state.get("bookmarks", {}).items())))
mode = os.environ["MODE"]
bookmarks = state.setdefault("bookmarks", {})
for name in "ab":
    if mode == "fail" and name == "b":
        sys.exit(1)
    bookmarks[name] = {"at": "old" if mode == "old" else "new"}
    print(json.dumps({"type": "STATE", "value": state}), flush=True)
TAP
cat > target.py <<TARGET
#!$folder/venv/bin/python
import json, sys

for line in sys.stdin:
    print(json.dumps(json.loads(line)["value"]), flush=True)
    with open("emitted", "w") as file:
        bookmarks = json.loads(line)["value"]["bookmarks"]
        file.write(" ".join(f"{name}={one['at']}" for name, one in sorted(bookmarks.items())))
TARGET
chmod +x tap.py target.py

run() {
    MODE=$1 venv/bin/meltano run "${@:2}" tap-rows target-rows > log 2>&1 && code=0 || code=$?
}
{
    run old
    echo "complete run, exit code $code:  $(cat emitted)"
    run fail --full-refresh
    echo "full refresh, exit code $code:  $(cat emitted)"
    run new
    echo "next run starts from:       $(cat started_from)"
} | tee result

diff result - <<'EXPECTED'
complete run, exit code 0:  a=old b=old
full refresh, exit code 1:  a=new
next run starts from:       a=new b=old
EXPECTED
