"""Runs brought to an MLflow store by a process of their own, which is killed when a delivery takes too long.

Delivering is idempotent: a run is found by the identity of what it shows, points carry the times of what they
tell, and a run whose digest the store knows is left alone, so a delivery that was cut off is gone on with by the
next one. Nothing here raises: a store that fails costs at most `DEADLINE` seconds and a sentence.
"""

import dataclasses
import importlib.util
import json
import logging
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

DEADLINE = 60.0
"""seconds that one delivery may take, whatever the store does"""
MEMORY = 2**30
"""bytes that the delivering process may fill, whatever a server sends"""
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
FORMS = "give http://HOST:PORT of a server or sqlite:////PATH/mlflow.db, or unset it"

Point = tuple[str, float, float, int]
"""name, value, time in seconds, step"""


@dataclass(frozen=True)
class Run:
    """What one run of MLflow shows."""

    kind: str
    number: str
    name: str
    start: float
    end: float
    status: str
    """RUNNING, FINISHED or KILLED"""
    params: Mapping[str, Any]
    points: Sequence[Point]
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    dataset: tuple[str, str] | None = None
    """name and digest"""
    artifacts: Sequence[tuple[str, str, int]] = ()
    """file, relative to the folder; its place in the run; its size"""
    model: tuple[str, str] | None = None
    """folder of a trained model, relative to the folder, and its checksum; shown as a model that MLflow serves"""


@dataclass(frozen=True)
class SyncResult:
    """Where runs were delivered, how many, and why delivery stopped if it did; what was registered, as NAME/VERSION."""

    uri: str
    delivered: int
    error: str | None = None
    registered: str | None = None


def deliver(
    folder: Path,
    describe: Callable[[], tuple[str, Sequence[Run]]],
    deadline: float | None = None,
    register: str | None = None,
) -> SyncResult:
    """Bring a folder's runs to the store that MLFLOW_TRACKING_URI names, or to `mlflow.db` beside the folder.

    Args:
        folder: of the campaign or study; one delivery of it at a time.
        describe: the identity of what is shown, and its runs: a parent and its children.
        deadline: seconds until the delivery is given up; `DEADLINE` if None.
        register: name under which the model shown is registered, if it is to be.
    """
    from filelock import FileLock, Timeout

    folder, deadline = folder.resolve(), DEADLINE if deadline is None else deadline
    given = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    shown = _redact(given, given) or str(folder.parent / "mlflow.db")
    ends = time.monotonic() + deadline
    try:
        if given:
            _check(given)
        with FileLock(folder / ".mlflow.lock", timeout=deadline):
            identity, runs = describe()
            if not runs:
                return SyncResult(shown, 0)
            order = {"folder": str(folder), "given": given, "identity": identity, "parent": os.getpid()}
            order |= {"register": register}
            answer = _ask({**order, "runs": [dataclasses.asdict(r) for r in runs]}, ends - time.monotonic())
    except (Timeout, subprocess.TimeoutExpired):
        answer = {
            "error": f"no delivery within {deadline:g} s; what arrived stays, and the next one goes on from there"
        }
    except Exception as error:
        answer = {"error": _sentence(error)}
    if "error" in answer:
        return SyncResult(shown, 0, _redact(answer["error"], given)[:300])
    return SyncResult(shown, answer["delivered"], registered=answer["registered"])


def _ask(order: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Give the order to a fresh process, whose last line is the answer; it dies with its time or with this process."""
    path = [os.path.abspath(p) for p in sys.path]
    code = f"import sys; sys.path[:] = {path!r}; from loop.output import delivery; delivery.serve()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(order),
        env={**ENVIRONMENT, **os.environ},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=max(seconds, 0.0),
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        return {"error": f"the delivering process ended with code {done.returncode}: {last}"}
    return answer


def serve() -> None:
    """In the delivering process: read an order, carry it out, print the answer."""
    order = json.load(sys.stdin)
    threading.Thread(target=_die_with, args=(order["parent"],), daemon=True).start()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft > MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))
    try:
        spec = importlib.util.find_spec("mlflow")
        if spec is None or spec.origin is None:  # a folder named mlflow is found without being the library
            raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")
        logging.getLogger("alembic").setLevel(logging.ERROR)
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        from loop.output.store import Store

        store = Store(order["given"], Path(order["folder"]), order["identity"])
        parent: str | None = None
        for number, entry in enumerate(order["runs"]):
            run = store.put(Run(**entry), parent)
            parent = run if number == 0 else parent
        registered = store.show_model(str(parent), Run(**order["runs"][0]), order["register"])
        answer: dict[str, Any] = {"delivered": len(order["runs"]), "registered": registered}
    except Exception as error:
        answer = {"error": _sentence(error)}
    print("\n" + json.dumps(answer), flush=True)
    os._exit(0)  # a library's threads wait for nobody here


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


def _check(uri: str) -> None:
    """Refuse what can be no store.

    Raises:
        ValueError: in one sentence.
    """
    if uri.startswith("sqlite") and (uri.endswith(":memory:") or not uri.partition(":")[2].strip("/")):
        raise ValueError(f"MLFLOW_TRACKING_URI '{uri}': a store in memory is gone at once; {FORMS}")
    scheme = urlsplit(uri).scheme
    if scheme == "file" or (len(scheme) < 2 and uri not in {"databricks", "databricks-uc", "uc"}):
        raise ValueError(f"MLFLOW_TRACKING_URI '{uri}': MLflow no longer keeps runs in folders; {FORMS}")


def _sentence(error: Exception) -> str:
    """What a person must know of a failure, on one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"the Python package {error.name} is not installed; `pip install {error.name}`"
    words = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    if type(error).__name__ in {"UnsupportedModelRegistryStoreURIException", "InvalidUrlException"}:
        return f"MLFLOW_TRACKING_URI: MLflow knows no such scheme or address; {FORMS}"
    if "failed with exception" in words:  # mlflow's words around those of requests around those of urllib3
        reason = words.split("failed with exception")[1].split("(Caused by")[-1].strip()
        return f"the server does not answer ({reason or 'or sends more than there is memory for'})"
    if type(error) is ValueError:
        return words
    return f"{type(error).__name__}: {words}"


def _redact(words: str, uri: str) -> str:
    """Words without the secrets that a URI, or anything like one in them, holds."""
    with_secrets = re.sub(r"//\S*@", "//***@", words)
    if "@" in uri:
        user = uri.split("://")[-1].rpartition("@")[0]
        for secret in {user, unquote(user), *user.split(":", 1)[1:], *unquote(user).split(":", 1)[1:]} - {""}:
            with_secrets = with_secrets.replace(secret, "***")
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret|key)=)[^&\s'\"]+", r"\1***", with_secrets)
