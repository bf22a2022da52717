"""A conditional variational autoencoder, trained on the simulated samples, decoded under the properties wanted.

With `swarm = 1` and `refine_steps = 0` each of its T decodes is simulated, as the error r_T of inverse models is
defined (Ren, Padilla & Malof 2020); a larger swarm is screened by the network's own head.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from janus_al.properties import FRACTION, action, row_of, scaled, turned, turns
from loop.design.generators import Tools
from loop.design.generators.lookup import turned_samples
from loop.design.pool import EMPTY, Known, Pool, Wanted, distance, gaps, joined
from loop.design.targets import Interval, Target
from loop.studies.baselines.autoencoder import LATENT, train_autoencoder


class CvaeGenerator:
    """`swarm` decodes for each candidate wanted; unlabelled samples teach it nothing."""

    needs_model: ClassVar[bool] = False
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
        """Conditions: spread over a target's intervals as far as samples are; what it leaves open is a sample's."""
        asked = values[rng.integers(len(values), size=rows)].copy()
        for column, name in enumerate(names):
            if name in target.intervals:
                low, high = _ends(name, target.intervals[name], values[:, column])
                asked[:, column] = rng.uniform(low, high, size=rows)
        return asked


def _ends(name: str, interval: Interval, values: NDArray[np.float64]) -> tuple[float, float]:
    """An interval on the scale on which a property is learned, its open ends those of the samples."""
    low, high = interval
    low = scaled(name, low) if low > 0 or not row_of(name).log else -np.inf
    high = scaled(name, high) if np.isfinite(high) else np.inf
    if np.isinf(low):
        low = min(float(values.min()), high)
    if np.isinf(high):
        high = max(float(values.max()), low)
    return low, high


def _keeps(names: Sequence[str], turn: object) -> bool:
    """Whether a symmetry leaves all properties as they are."""
    acts = action(names, turn)  # type: ignore[arg-type]
    return acts is not None and acts[0].tolist() == list(range(len(names))) and bool((acts[1] == 1).all())
