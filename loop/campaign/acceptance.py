"""Which candidates become designs: they meet their target, differ from its others, and pass verification."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from janus_al.likeness import Likeness
from janus_al.samples import content_hash
from loop.design.candidates import Candidate
from loop.design.pool import Image, Wanted
from loop.design.select import aligned_distance
from loop.simulation.verify import Check, judge, verify


@dataclass(frozen=True)
class Acceptance:
    """What every design must obey.

    Attributes:
        min_distance: part of the pixels in which designs of a target differ, at least.
        check: what is asked of it once more, if anything.
        executor: where.
        likeness: the class that they are compared with, where one is known.
    """

    min_distance: float
    check: Check
    executor: Executor
    likeness: Likeness | None = None


def accept(
    candidates: Sequence[Candidate], unmet: Wanted, have: Mapping[str, Sequence[Image]], rules: Acceptance
) -> list[dict[str, Any]]:
    """New designs as JSON, in order; what verification says stands in them and in their candidates.

    Args:
        candidates: simulated.
        unmet: targets with the number of designs missing.
        have: images of the designs of each target.
        rules: what they must obey.
    """
    accepted = list[dict[str, Any]]()
    for target, missing in unmet:
        images = list(have[target.name])
        for candidate in candidates:
            if candidate.target is not target or not candidate.met or not missing:
                continue
            image = candidate.image
            if images and aligned_distance(image, np.stack(images)).min() < rules.min_distance:
                continue
            verified: dict[str, Any] = {}
            if rules.check.needed:
                verified = verify(image, target, rules.check, rules.executor)
                candidate.verdict, candidate.reason = judge(verified, target, rules.check)
                if candidate.verdict != "confirmed":
                    continue
            images.append(image)
            missing -= 1
            name = f"{target.name}-{len(images):02d}"
            like = None if rules.likeness is None else rules.likeness.score(image)
            entry = {"target": target.name, "name": name, "hash": content_hash(image), "likeness": like}
            accepted.append({**entry, **verified})
    return accepted
