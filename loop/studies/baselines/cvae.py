"""A conditional variational autoencoder, trained on the simulated samples, decoded under the properties wanted.

With `swarm = 1` and `refine_steps = 0` each of its T decodes is simulated, as the error r_T of inverse models is
defined (Ren, Padilla & Malof 2020); a larger swarm is screened by the network's own head.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from janus_al.aims import aimed_at
from janus_al.properties import FRACTION, action, row_of, scaled, turned, turns
from janus_al.quantities import quantity
from loop.design.generators import Tools
from loop.design.generators.lookup import turned_samples
from loop.design.pool import EMPTY, Known, Pool, Wanted, distance, gaps, joined
from loop.design.targets import Target
from loop.studies.baselines.autoencoder import LATENT, train_autoencoder

NEAR = 64
"""samples and their symmetric copies whose properties are asked, where a target leaves them open"""


class CvaeGenerator:
    """`swarm` decodes for each candidate wanted; unlabelled samples teach it nothing."""

    needs_model: ClassVar[bool] = False
    squares_only: ClassVar[bool] = True
    needs_samples: ClassVar[bool] = True

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    def fit(self, known: Known) -> None:
        """Nothing yet: what it is conditioned on is what the targets ask."""

    def propose(self, wanted: Wanted, known: Known, seed: Sequence[int]) -> Pool:
        """Decodes, with what the head predicts of their cuts."""
        names = tuple(dict.fromkeys(n for target, _ in wanted for n in target.properties))
        images, values = self._samples(known, names)
        if len(images) < 2:
            return EMPTY
        mean, std = values.mean(axis=0), values.std(axis=0) + 1e-9
        rng = np.random.default_rng([*seed])
        circular = self.tools.boundary == "periodic"
        model = train_autoencoder(images, (values - mean) / std, circular, int(rng.integers(2**31)))
        pools = []
        for index, (target, count) in enumerate(wanted):
            asked = self._asked(target, names, values, self.tools.swarm * count, rng)
            c = torch.tensor((asked - mean) / std).float()
            z = torch.tensor(rng.standard_normal((len(c), LATENT))).float()
            with torch.no_grad():
                grey = torch.sigmoid(model.decode(z, c))
                said = model.predict((grey > 0.5).float()).double().numpy() * std + mean
            field = grey.numpy()
            found = {n: np.exp(column) if row_of(n).log else column for n, column in zip(names, said.T, strict=True)}
            found[FRACTION.name] = (field > 0.5).mean(axis=(1, 2))
            miss = distance(gaps(target, found, self.tools.inversion))
            pools.append(
                Pool(field, np.stack([*found.values()], axis=1), tuple(found), miss, np.full(len(field), index))
            )
        return joined(pools)

    def _samples(self, known: Known, names: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Simulated images under every symmetry whose properties are known, and these, scaled, (n, names)."""
        material = self.tools.material
        same = [turn for turn in turns(len(self.tools.grid)) if _keeps(material.simulated, turn)]
        pairs = [
            (np.ascontiguousarray(turned(sample.image, turn)), [scaled(n, sample.values[n]) for n in names])
            for sample in turned_samples(known.samples)
            if set(names) <= set(sample.values)
            for turn in same
        ]
        images = np.array([image for image, _ in pairs], np.uint8).reshape(len(pairs), *self.tools.grid)
        return images, np.array([values for _, values in pairs]).reshape(len(pairs), len(names))

    def _asked(
        self,
        target: Target,
        names: Sequence[str],
        values: NDArray[np.float64],
        rows: int,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Conditions, those of samples near a target moved into the part of its intervals that is aimed at.

        So what a target leaves open is as it goes with what it asks.
        """
        known = dict(
            zip(names, (np.exp(v) if row_of(n).log else v for n, v in zip(names, values.T, strict=True)), strict=True)
        )
        near = np.argsort(distance(gaps(target, known, self.tools.inversion)), kind="stable")[:NEAR]
        asked = values[rng.choice(near, size=rows)]
        for column, name in enumerate(names):
            if name in target.intervals:
                ends = aimed_at(target.intervals[name], self.tools.inversion)
                asked[:, column] = np.clip(
                    asked[:, column], *quantity(name).scaled(np.maximum(ends, quantity(name).lowest))
                )
        return asked


def _keeps(names: Sequence[str], turn: object) -> bool:
    """Whether a symmetry leaves all properties as they are."""
    acts = action(names, turn)  # type: ignore[arg-type]
    return acts is not None and acts[0].tolist() == list(range(len(names))) and bool((acts[1] == 1).all())
