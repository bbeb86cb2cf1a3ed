#!/bin/sh
# Run Meltano for one of several schools, with separate schemas, models, state and lock. Usage:
#     school.sh SCHOOL              the nightly run: load, then build the dbt models
#     school.sh SCHOOL COMMAND...   a command of Meltano, such as: invoke tap-campusgroups --test
# The school's settings are in the project's file schools/SCHOOL.env.
set -eu
school=${1:-}
case $school in
'' | *[!a-z0-9_]*)
    echo "School name \"$school\" is invalid: use lower-case letters, digits and underscores." >&2
    exit 2
    ;;
esac
shift
cd "$(dirname "$0")/../.."
# The file can replace these variables.
set -a
EXTRACTOR=tap-campusgroups
TAP_CAMPUSGROUPS__LOAD_SCHEMA=$school
TAP_CAMPUSGROUPS_MASKED__LOAD_SCHEMA=${school}_masked
DBT_POSTGRES_RAW_SCHEMA=$school
DBT_POSTGRES_SCHEMA=${school}_analytics
. "./schools/$school.env"
# Meltano and dbt keep files of a run in these folders; the installed plugins are shared.
MELTANO_SYS_DIR_ROOT=$PWD/.meltano/$school
DBT_POSTGRES_TARGET_PATH=$MELTANO_SYS_DIR_ROOT/dbt/target
DBT_POSTGRES_LOG_PATH=$MELTANO_SYS_DIR_ROOT/dbt/logs
set +a
mkdir -p "$MELTANO_SYS_DIR_ROOT"
ln -sfn ../extractors ../loaders ../utilities "$MELTANO_SYS_DIR_ROOT/"
if [ $# -gt 0 ]; then
    exec .venv/bin/meltano "$@"
fi
exec flock --verbose -n -E 75 "$MELTANO_SYS_DIR_ROOT/nightly.lock" \
    .venv/bin/python examples/nightly/run.py "dev:$EXTRACTOR-to-target-postgres:$school" \
    --force --state-id-suffix="$school" "$EXTRACTOR" target-postgres dbt-postgres:build
