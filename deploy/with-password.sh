#!/bin/sh
# Runs a command with PostgreSQL's password out of the file that PGPASSWORD_FILE names, so that it
# stands in no manifest, no settings file and no list of processes.
set -eu
if [ -n "${PGPASSWORD_FILE:-}" ]; then
    PGPASSWORD="$(cat "$PGPASSWORD_FILE")"
    export PGPASSWORD
fi
exec "$@"
