#!/usr/bin/env bash
# Look at a local store: mlflow/ui.sh campaigns/mlflow.db [PORT]
set -eu
db=$(realpath "${1:?usage: mlflow/ui.sh PATH/mlflow.db [PORT]}")
port=${2:-5000}
[ -f "$db" ] || { echo "$db: no such file; a campaign makes it" >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
mlflow=$(command -v "$here/.venv/bin/mlflow" || command -v mlflow)
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
cd "$(dirname "$db")" # mlflow takes a URI for a path in places: no folder's name may be in it
exec "$mlflow" server --backend-store-uri "sqlite:///$(basename "$db")" --host 127.0.0.1 --port "$port" --workers 1
