"""What several test files share."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from filelock import FileLock


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory):
    """A cache of simulations of this run's own, and an MLflow that is refused at once unless a test asks for one."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("JANUS_AL_CACHE", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", "file:///nowhere")
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A finished campaign of seconds, run once for all processes of the tests; tests read it and write elsewhere."""
    from loop.campaign.toml import load_config
    from loop.commands.run import run_campaign
    from loop.simulation.progress import Progress

    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "campaign"
    with FileLock(f"{shared}.lock"):
        if not (shared / "report.html").exists():
            run_campaign(shared, load_config(Path(__file__).with_name("small.toml")), Progress())
    return shutil.copytree(shared, tmp_path_factory.mktemp("campaigns") / "whole")


@pytest.fixture
def janus(monkeypatch, capsys):
    """Run a command in this process; returns exit code, stdout, stderr."""

    from loop.commands import main as cli

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["janus-al", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return run
