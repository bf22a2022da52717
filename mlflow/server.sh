#!/usr/bin/env bash
# Run a team server: mlflow/server.sh FOLDER; settings by environment:
#   HOST (127.0.0.1), PORT (5000), BACKEND (sqlite in FOLDER), ALLOWED_HOSTS (names that clients use, HOST:PORT,...)
set -eu
folder=${1:?usage: mlflow/server.sh FOLDER}
mkdir -p "$folder"
folder=$(realpath "$folder")
here=$(cd "$(dirname "$0")/.." && pwd)
mlflow=$(command -v "$here/.venv/bin/mlflow" || command -v mlflow)
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
hosts=()
[ -z "${ALLOWED_HOSTS:-}" ] || hosts=(--allowed-hosts "$ALLOWED_HOSTS")
cd "$folder"
exec "$mlflow" server --backend-store-uri "${BACKEND:-sqlite:///mlflow.db}" \
  --artifacts-destination ./artifacts --host "${HOST:-127.0.0.1}" --port "${PORT:-5000}" --workers 1 "${hosts[@]}"
