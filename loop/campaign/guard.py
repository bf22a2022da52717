"""Whether a model may take another's place: nowhere that physics has spoken may it err more, beyond noise."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.batches import held_out
from janus_al.evaluation import relative_errors
from janus_al.networks.janus import Janus
from janus_al.samples import Samples

PROBE = b"probe"
"""origin of samples that answer a probe"""
FEWEST = 4
"""images on which two models can be told apart"""
WORST = 1e6
"""relative error of an image; a head that is far from all it knows may say infinity"""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images: mean relative errors, and the standard error of their difference."""

    samples: int
    old: float
    new: float
    noise: float

    @property
    def worse(self) -> bool:
        """Whether the new one errs more, beyond noise."""
        return self.new - self.old > self.noise

    @classmethod
    def of(cls, old: NDArray[np.float64], new: NDArray[np.float64]) -> "Comparison":
        """From errors image by image, (n,), n of at least two: what makes an image hard is no noise."""
        difference = new - old
        noise = float(difference.std(ddof=1) / np.sqrt(len(difference)))
        return cls(len(difference), float(old.mean()), float(new.mean()), noise)


def grounds(samples: Samples, test: Samples | None, part: float) -> dict[str, Samples]:
    """Where a campaign's models are compared: on a test set that taught neither, and on all proposals.

    Where there is no such set, on all that was simulated together: a first model knows few first samples by heart, and
    any that learns from proposals, too, errs more on these alone, though it errs less on all others.

    Args:
        samples: all that they are trained on.
        test: the campaign's test set; without one, what training holds out of the first samples stands for it. Without
            first samples the probes do, which are the same questions each round and do not teach then.
        part: that training holds out.
    """
    proposed, probes = samples.meta["round"] > 0, samples.meta["origin"] == PROBE
    first = samples.simulated & ~proposed
    apart = first & held_out(samples, part) if first.any() else samples.simulated & probes
    if test is None and first.any() and apart.sum() < FEWEST:
        return {"simulated": samples.take(samples.simulated)}
    return {
        "test": samples.take(apart) if test is None else test,
        "proposals": samples.take(samples.simulated & proposed & ~apart),
    }


def compare(old: Janus, new: Janus, where: Mapping[str, Samples]) -> dict[str, Comparison]:
    """Two models on every ground that has enough images for it."""
    found = {}
    for name, samples in where.items():
        known = samples.take(np.isfinite([samples.column(n) for n in old.config.properties]).any(axis=0))
        if len(known) >= FEWEST:
            errors = [np.nanmean(relative_errors(model, known), axis=1) for model in (old, new)]
            found[name] = Comparison.of(*(np.minimum(e, WORST) for e in errors))
    return found


def best_round(trained: Sequence[Mapping[str, Any]]) -> int | None:
    """The round whose model erred least on the test set so far, so that small steps back do not add up; None before.

    Args:
        trained: events of the journal; each has the errors of the model before it, and of its own.
    """
    errors = dict[int, float]()
    for event in trained:
        if test := (event.get("guard") or {}).get("test"):
            errors.setdefault(event["round"] - 1, test["old"])
            errors[event["round"]] = test["new" if event["guard"]["accepted"] else "old"]
    return min(errors, key=lambda number: (errors[number], -number), default=None)


def verdict(found: Mapping[str, Comparison]) -> dict[str, Any]:
    """What the journal says of a comparison: whether the new model is accepted, and the figures of each ground."""
    return {"accepted": not any(c.worse for c in found.values()), **{name: asdict(c) for name, c in found.items()}}


def words(guard: Mapping[str, Any]) -> str:
    """A verdict as people read it."""
    figures = [
        f"{name} {figure['old']:.2%} -> {figure['new']:.2%} (noise {figure['noise']:.2%})"
        for name, figure in guard.items()
        if isinstance(figure, Mapping)
    ]
    if guard["accepted"]:
        return f"new: {', '.join(figures) or 'nothing to compare on'}"
    return f"the old one stays: {', '.join(figures) or 'nothing new was simulated'}"
