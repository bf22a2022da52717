"""Latent Bayesian optimisation in a trust region (TuRBO, Eriksson et al. 2019) with a composite objective.

A variational autoencoder learns from all images. Gaussian processes learn the properties of decoded, binary images
over its latent space, each on the scale on which it is learned; the objective is the distance of what they say from
the target (Astudillo & Frazier 2019). Thompson sampling proposes a few points of a box about the best one, which is
halved after failures and doubled after successes. Every point is simulated, and paid for. A point that met the target
ends its box: the next one is about the best point that is no copy of it.
"""

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from janus_al.properties import FRACTION, row_of, scaled
from loop.design.cut import first_count
from loop.design.generators import Tools
from loop.design.geometry import shaped
from loop.design.pool import EMPTY, Image, Known, Pool, Wanted, distance, gaps, joined
from loop.design.select import aligned_distance
from loop.design.targets import Target
from loop.studies.baselines.autoencoder import LATENT, train_autoencoder
from simulators import Result

try:
    from botorch.exceptions import BotorchWarning, ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood
except ImportError as error:
    raise ImportError(f"it needs BoTorch ({error}): pip install 'janus-al[botorch]'") from None

STEPS = 5
"""batches of points for each target and round, at most; each has as many as candidates are wanted"""
POINTS = 512
"""of a box, among which is chosen"""
SPAN = 4.0
"""standard deviations of the encoded images across the whole space searched"""
FIRST, LARGEST, SMALLEST = 0.8, 1.6, 0.5**7
"""side of a box, where the whole space has 1; below the smallest it starts again"""
SUCCESSES, FAILURES = 3, 4
"""in a row, until the box is doubled, and halved"""
SHORT = {"options": {"maxiter": 50}}
"""how long a Gaussian process is fitted"""
ALIVE = 0.1
"""standard deviation of the encoded images below which a latent dimension says nothing"""

Array = NDArray[np.float64]


class Space:
    """The latent space as a unit cube of those dimensions that say something."""

    def __init__(self, images: NDArray[np.uint8], circular: bool, seed: int) -> None:
        self.model = train_autoencoder(images, np.empty((len(images), 0)), circular, seed)
        z = self._mean(images)
        self.alive = np.flatnonzero(z.std(axis=0) > ALIVE)
        self.middle, self.width = z[:, self.alive].mean(axis=0), SPAN * z[:, self.alive].std(axis=0)

    def encode(self, images: NDArray[np.uint8]) -> Array:
        """Images -> places, (n, dimensions)."""
        return 0.5 + (self._mean(images)[:, self.alive] - self.middle) / self.width

    def decode(self, places: Array) -> NDArray[np.float32]:
        """Places -> grey images."""
        z = np.zeros((len(places), LATENT))
        z[:, self.alive] = self.middle + self.width * (places - 0.5)
        with torch.no_grad():
            grey = torch.sigmoid(self.model.decode(torch.tensor(z).float(), torch.empty(len(z), 0)))
        found: NDArray[np.float32] = grey.numpy()
        return found

    def _mean(self, images: NDArray[np.uint8]) -> Array:
        with torch.no_grad():
            return self.model.encode(torch.tensor(images).float(), torch.empty(len(images), 0))[0].double().numpy()


@dataclass
class Seen:
    """What simulations said: places, grey images and properties by name."""

    places: list[Array] = field(default_factory=list)
    fields: list[NDArray[np.float32]] = field(default_factory=list)
    values: list[dict[str, float]] = field(default_factory=list)

    def add(self, place: Array, grey: NDArray[np.float32], values: dict[str, float]) -> None:
        """One more."""
        self.places.append(place)
        self.fields.append(grey)
        self.values.append(values)

    def image(self, row: int) -> Image:
        """A grey image cut."""
        return _cut(self.fields[row])


@dataclass
class Box:
    """The trust region's side, and how often in a row it was right, or wrong."""

    side: float = FIRST
    right: int = 0
    wrong: int = 0

    def learn(self, better: bool) -> None:
        """Grow after successes, shrink after failures, start again where nothing is left."""
        self.right, self.wrong = (self.right + 1, 0) if better else (0, self.wrong + 1)
        if self.right == SUCCESSES:
            self.side, self.right = min(2 * self.side, LARGEST), 0
        if self.wrong == FAILURES:
            self.side, self.wrong = self.side / 2, 0
        if self.side < SMALLEST:
            self.side = FIRST


class TurboGenerator:
    """A search for each target, of `STEPS` batches a round; what it simulated is proposed, the nearest first."""

    needs_model: ClassVar[bool] = False
    squares_only: ClassVar[bool] = True
    needs_samples: ClassVar[bool] = True

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    def fit(self, known: Known) -> None:
        """Nothing yet: it learns when it is asked, with the seed of its round."""

    def propose(self, wanted: Wanted, known: Known, seed: Sequence[int]) -> Pool:
        """A row for each point simulated, with its properties."""
        samples = known.samples
        if samples is None:
            return EMPTY
        rng = np.random.default_rng([*seed])
        space = Space(samples.image, self.tools.boundary == "periodic", int(rng.integers(2**31)))
        rows = np.flatnonzero(samples.simulated)
        seen = Seen()
        for row, place in zip(rows, space.encode(samples.image[rows]), strict=True):
            values = dict(zip(samples.names, samples.properties[row].tolist(), strict=True))
            seen.add(place, samples.image[row].astype(np.float32), values)
        pools = []
        for index, (target, count) in enumerate(wanted):
            before, box = len(seen.places), Box()
            hits = list(known.designs.get(target.name, ()))
            for step in range(STEPS):
                if not self._step(target, count, space, seen, box, hits, rng):
                    break
                self.tools.progress(step + 1, STEPS)
            pools.append(self._rows(target, index, seen, range(before, len(seen.places))))
        return joined(pools)

    def _step(
        self,
        target: Target,
        count: int,
        space: Space,
        seen: Seen,
        box: Box,
        hits: list[Image],
        rng: np.random.Generator,
    ) -> bool:
        """Simulate a batch; False where the budget refused. The parameters are the state of one search."""
        far = [self._far(target, values) for values in seen.values]
        order = [int(row) for row in np.argsort(far, kind="stable")]
        centre = next((row for row in order if not self._copy(seen.image(row), hits)), order[0])
        places, miss, grey = self._guess(target, count, space, seen, seen.places[centre], box.side, rng)
        taken = list[int]()
        for own in miss:
            images = [*hits, *(_cut(grey[row]) for row in taken)]
            new = (int(row) for row in np.argsort(own)[:64] if not self._copy(_cut(grey[row]), images))
            taken.append(next(new, int(np.argmin(own))))
        taken = list(dict.fromkeys(taken))
        shots = [shaped(grey[row], first_count(grey[row], target), target, self.tools.boundary) for row in taken]
        results = self.tools.simulate(shots)
        best = far[centre]
        for row, image, result in zip(taken, shots, results, strict=True):
            if result is None or not set(target.properties) <= set(values := _values(result, image, target)):
                continue
            seen.add(places[row], grey[row], values)
            best = min(best, self._far(target, values))
            if target.met(values):
                hits.append(image)
        box.learn(best < far[centre])
        return any(result is not None for result in results)

    def _guess(
        self, target: Target, count: int, space: Space, seen: Seen, centre: Array, side: float, rng: np.random.Generator
    ) -> tuple[Array, Array, NDArray[np.float32]]:
        """Places about a centre, how far from the target each is in `count` draws of the posterior, and their decodes.

        The parameters are those of `_step`, and the box.
        """
        material = self.tools.material
        names = [name for name in material.simulated if name in target.properties] or list(material.simulated[:1])
        whole = [
            row for row, values in enumerate(seen.values) if all(np.isfinite(values.get(n, np.nan)) for n in names)
        ]
        x = torch.tensor(np.array([seen.places[row] for row in whole]))
        y = torch.tensor([[scaled(n, seen.values[row][n]) for n in names] for row in whole], dtype=torch.float64)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore", category=BotorchWarning):
            torch.manual_seed(int(rng.integers(2**31)))
            gp = SingleTaskGP(x, y)
            with contextlib.suppress(ModelFittingError):  # its prior is left
                fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp), optimizer_kwargs=SHORT)
            lengths = gp.covar_module.lengthscale.detach().reshape(-1, x.shape[1]).log().mean(dim=0)
            reach = side / 2 * torch.exp(lengths - lengths.mean()).numpy()
            sobol = torch.quasirandom.SobolEngine(x.shape[1], scramble=True, seed=int(rng.integers(2**31)))
            places = np.clip(centre + (2 * sobol.draw(POINTS).double().numpy() - 1) * reach, 0, 1)
            grey = space.decode(places)
            with torch.no_grad():
                drawn = gp.posterior(torch.tensor(places)).rsample(torch.Size([count])).numpy()
        values = {n: np.exp(drawn[..., i]) if row_of(n).log else drawn[..., i] for i, n in enumerate(names)}
        values[FRACTION.name] = np.broadcast_to((grey > 0.5).mean(axis=(1, 2)), drawn.shape[:2])
        return places, distance(gaps(target, values, self.tools.inversion)), grey

    def _copy(self, image: Image, others: Sequence[Image]) -> bool:
        return len(others) > 0 and bool(aligned_distance(image, np.stack(others)).min() < self.tools.min_distance)

    def _far(self, target: Target, values: dict[str, float]) -> float:
        if not all(np.isfinite(values.get(name, np.nan)) for name in target.properties):
            return np.inf
        return float(distance(gaps(target, values, self.tools.inversion)))

    def _rows(self, target: Target, index: int, seen: Seen, rows: Sequence[int]) -> Pool:
        names = (*self.tools.material.simulated, FRACTION.name)
        predicted = np.array([[seen.values[row].get(name, np.nan) for name in names] for row in rows])
        miss = np.array([self._far(target, seen.values[row]) for row in rows])
        fields = np.array([seen.fields[row] for row in rows], np.float32).reshape(len(rows), *self.tools.grid)
        return Pool(fields, predicted.reshape(len(rows), len(names)), names, miss, np.full(len(rows), index, np.intp))


def _values(result: Result, image: Image, target: Target) -> dict[str, float]:
    """Properties, and the measures that a target asks for."""
    return {**result.values, FRACTION.name: float(image.mean()), **target.geometry.measured(image)}


def _cut(grey: NDArray[np.float32]) -> Image:
    return (grey > 0.5).astype(np.uint8)
