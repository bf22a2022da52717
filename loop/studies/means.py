"""With what a study works: where its network runs, how many processes simulate, and who is told of it."""

from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Means:
    """Nothing in it changes what is asked.

    Attributes:
        device: of the network.
        workers: simulation processes; 0: one for each core that this process may use.
        progress: told a stage, what is done of it and the whole.
    """

    device: str
    workers: int
    progress: Say
