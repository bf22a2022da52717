"""Janus: inversion of the trained network, a swarm of latent vectors for each candidate wanted."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from loop.design.generators import Tools
from loop.design.generators.aim import aimed, thoughts
from loop.design.pool import Image, Known, Pool, Shot, Wanted
from simulators import Result


class JanusGenerator:
    """`swarm` inversions for each candidate wanted; what the network learned, it learned in its training."""

    needs_model: ClassVar[bool] = True

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    def fit(self, known: Known) -> None:
        """Nothing: the campaign trains its models itself."""

    def propose(self, wanted: Wanted, known: Known, seed: Sequence[int]) -> Pool:
        """The decoder's grey fields, aimed by the network's opinion of their cuts."""
        from janus_al.inversion import invert

        model, _ = self.tools.model()
        target = np.repeat(np.arange(len(wanted)), [self.tools.swarm * count for _, count in wanted])
        goals = [wanted[int(index)][0].goal for index in target]
        found = invert(model, goals, seed, self.tools.inversion, self.tools.progress)
        pool = Pool(found.field, found.predicted, found.names, found.miss, target, found.latent)
        return aimed(pool, wanted, model, self.tools, known.likeness)

    def opinion(self, images: Sequence[Image]) -> Sequence[Result | None]:
        """What the network thinks of images, with what flips would bring."""
        return thoughts(self.tools.model()[0], self.tools, images)

    def corrected(self, shots: Sequence[Shot]) -> Pool:
        """Some more descent from where each was, with what the head was wrong by added to its opinion."""
        from janus_al.inversion import correct

        model, _ = self.tools.model()
        latent, images = (np.stack([getattr(shot, name) for shot in shots]) for name in ("latent", "image"))
        goals = [shot.target.goal for shot in shots]
        found = correct(model, goals, latent, images, [shot.properties for shot in shots], self.tools.inversion)
        return Pool(found.field, found.predicted, found.names, found.miss, np.arange(len(shots)), found.latent)
