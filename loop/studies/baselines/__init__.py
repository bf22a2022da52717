"""What Janus-AL is measured against in the arena, and no part of what it offers: generators and an acquisition."""

from collections.abc import Sequence

import numpy as np

from loop.design.pool import Known, Pool


def at_random(pool: Pool, count: int, known: Known, rng: np.random.Generator) -> Sequence[int]:
    """Candidates in random order, whatever is predicted of them."""
    rows: list[int] = rng.permutation(len(pool)).tolist()
    return rows
