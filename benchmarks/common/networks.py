"""Data and networks that the benchmarks of inversion share, kept in a folder and made once."""

import dataclasses
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np

from common.data import kept
from common.shots import PHASES
from janus_al.material import conduction

SEEDS = 3
"""networks of the ensembles"""


def datasets(arguments):
    """Samples of which a quarter were simulated, the same with all of them, and 256 others to test on."""
    from janus_al.samples import concatenate, unlabelled
    from simulators import generate

    def made(name, count, seed):
        path = arguments.cache / f"{name}-{count}.h5"
        return kept(path, lambda: generate(count, 32, seed), conduction(PHASES), seed)

    full = made("data", arguments.images, 200)
    few = arguments.images // 4
    partial = concatenate([full.take(np.arange(few)), unlabelled(full.image[few:], conduction(PHASES))])
    return partial, full, made("test", max(arguments.images // 8, 8), 201)


def network(arguments, name, samples, seed, change):
    """A trained network, from the cache if it is there."""
    from janus_al import checkpoint
    from janus_al.fitting import TrainingConfig
    from janus_al.networks.janus import JanusConfig
    from janus_al.training import train

    change = dict(change)
    symmetric = change.pop("symmetries", True)
    folder = arguments.cache / f"{name}-{seed}-{arguments.steps}".replace(" ", "-")
    if not (folder / "model.json").exists():
        base = TrainingConfig(steps=arguments.steps, batch=32, simulated=16, cycled=8, checks=10)
        net = {k: v for k, v in change.items() if k in JanusConfig.__dataclass_fields__}
        fit = {k: v for k, v in change.items() if k in TrainingConfig.__dataclass_fields__}
        with nullcontext() if symmetric else patch("janus_al.training.Symmetry", Untouched):
            model, card = train(samples, JanusConfig(**{"stem": 4, **net}), dataclasses.replace(base, **fit), seed)
        checkpoint.save(folder, model, card)
    return checkpoint.load(folder)


def models(arguments):
    """The network to invert, its card, what it knows, and the ensemble it belongs to."""
    from janus_al import checkpoint
    from janus_al.samples import Samples

    if arguments.model is not None:
        model, card = checkpoint.load(arguments.model)
        return model, card, None, [model]
    partial, _, _ = datasets(arguments)
    found = [network(arguments, "base", partial, seed, {}) for seed in range(SEEDS)]
    assert isinstance(partial, Samples)
    return found[0][0], found[0][1], partial, [model for model, _ in found]


class Untouched:
    """In place of `janus_al.batches.Symmetry`: every image as it is."""

    @classmethod
    def drawn(cls, *_):
        """The only one."""
        return cls()

    def of_images(self, x):
        """The same."""
        return x

    of_properties = of_images
