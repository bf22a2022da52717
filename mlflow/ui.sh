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
query="select experiment_id from experiments where name = 'janus-al'"
code="import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone() or ('',))"
id=$("$(dirname "$mlflow")/python" -c "$code" "$(basename "$db")" "$query")
# MLflow's own first page is empty: it shows traces of language models.
url="http://127.0.0.1:$port/#/experiments${id:+/$id/runs?workflowType=machine_learning}"
echo "the runs, in half a minute, until Ctrl-C: $url"
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xdg-open >/dev/null; then
  (until curl -fs "http://127.0.0.1:$port/health" >/dev/null; do sleep 1; done; xdg-open "$url") 2>/dev/null &
fi
exec "$mlflow" server --backend-store-uri "sqlite:///$(basename "$db")" --host 127.0.0.1 --port "$port" --workers 1
