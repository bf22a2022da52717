"""What several test files share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A finished campaign of seconds; tests read it and write elsewhere."""
    from loop.config import load_config
    from loop.progress import Progress
    from loop.run import run_campaign

    folder = tmp_path_factory.mktemp("campaigns") / "whole"
    run_campaign(folder, load_config(Path(__file__).with_name("small.toml")), Progress())
    return folder
