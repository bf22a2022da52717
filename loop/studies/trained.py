"""A network trained once and kept: what is on disk is read, and a training that was cut off goes on."""

from functools import partial
from pathlib import Path

from janus_al import checkpoint
from janus_al.fitting import Run, StateError, TrainingConfig
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.samples import Samples
from janus_al.training import train
from loop.studies.means import Means


def trained_at(
    path: Path, samples: Samples, network: JanusConfig, training: TrainingConfig, seed: int, means: Means
) -> tuple[Janus, checkpoint.Card]:
    """The model in `path`, trained if there is none; a state beside it that is of another training is dropped."""
    if (path / "model.json").is_file():
        return checkpoint.load(path, means.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = path.with_suffix(".state")
    run = Run(means.device, state, partial(means.progress, "training"))
    try:
        found = train(samples, network, training, seed, run)
    except StateError:
        state.unlink()
        found = train(samples, network, training, seed, run)
    checkpoint.save(path, *found)
    return found
