#!/usr/bin/env bash
# meltano 4.4.1, singer-sdk 0.54.9: the SDK's variable for a plugin's log level, <PLUGIN>_LOGLEVEL, has no effect under
# Meltano; and Meltano's own --log-level=debug, which has one, logs every record of the tap.
#
# Meltano gives SDK plugins a logging configuration (SINGER_SDK_LOG_CONFIG) whose root logger has Meltano's level. The
# SDK applies it after the variable.
#
# Output (Python 3.11; a tap of the SDK that logs one line at INFO, and emits one record with a name):
#   without Meltano, TAP_PEOPLE_LOGLEVEL=WARNING: 0 lines
#   meltano run, TAP_PEOPLE_LOGLEVEL=WARNING: 1 line
#   meltano run, records in the log: 0
#   meltano --log-level=debug run, records in the log: 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check meltano==4.4.1 singer-sdk==0.54.9
export MELTANO_SEND_ANONYMOUS_USAGE_STATS=false MELTANO_CLI_DISABLE_VERSION_CHECK=true
cd "$folder"

cat > tap.py <<TAP
#!$folder/venv/bin/python
from singer_sdk import Stream, Tap


class People(Stream):
    name = "people"
    schema = {"properties": {"name": {"type": "string"}}}

    def get_records(self, context):
        self.logger.info("Reading people")
        yield {"name": "Ada Lovelace"}


class TapPeople(Tap):
    name = "tap-people"

    def discover_streams(self):
        return [People(self)]


TapPeople.cli()
TAP
printf '#!/bin/sh\ncat > loaded\n' > target.sh
chmod +x tap.py target.sh
cat > meltano.yml <<'PROJECT'
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - {name: tap-people, namespace: tap_people, executable: ./tap.py, capabilities: [catalog, discover]}
  loaders:
  - {name: target-people, namespace: target_people, executable: ./target.sh}
PROJECT

export TAP_PEOPLE_LOGLEVEL=WARNING
./tap.py --config /dev/stdin <<< '{}' > /dev/null 2> alone
venv/bin/meltano run tap-people target-people > info 2>&1
grep -q 'Ada Lovelace' loaded
venv/bin/meltano --log-level=debug run --force tap-people target-people > debug 2>&1
{
    echo "without Meltano, TAP_PEOPLE_LOGLEVEL=WARNING: $(grep -c 'Reading people' alone || true) lines"
    echo "meltano run, TAP_PEOPLE_LOGLEVEL=WARNING: $(grep -c 'Reading people' info || true) line"
    echo "meltano run, records in the log: $(grep -c 'Ada Lovelace' info || true)"
    echo "meltano --log-level=debug run, records in the log: $(grep -c 'Ada Lovelace' debug || true)"
} | tee result

diff result - <<'EXPECTED'
without Meltano, TAP_PEOPLE_LOGLEVEL=WARNING: 0 lines
meltano run, TAP_PEOPLE_LOGLEVEL=WARNING: 1 line
meltano run, records in the log: 0
meltano --log-level=debug run, records in the log: 1
EXPECTED
