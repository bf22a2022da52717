"""Generators: each learns from samples and proposes fields for what is wanted. One is a file here and a line below."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from janus_al.inversion import InversionConfig
from janus_al.material import Boundary, Material
from loop.design.doors import guarded, load
from loop.design.pool import Image, Known, Pool, Wanted
from simulators import Result

BUILT_IN = {
    "janus": "loop.design.generators.janus:JanusGenerator",
    "phasefield": "loop.design.generators.phasefield:PhaseFieldGenerator",
    "mixed": "loop.design.generators.mixed:MixedGenerator",
    "lookup": "loop.design.generators.lookup:LookupGenerator",
    "gradient": "loop.design.generators.gradient:GradientGenerator",
}
"""import paths of those that the program brings, by name"""


def _no_model() -> Any:
    raise ValueError("this generator says that it needs no model; set needs_model = True in its class")


def _no_simulation(images: Sequence[Image]) -> Any:
    raise ValueError("no simulation is paid for here; take a generator that does not simulate")


def _silent(step: int, steps: int) -> None:
    pass


@dataclass(frozen=True)
class Tools:
    """What a generator is made with.

    Attributes:
        grid: shape of the images.
        material: the physics, its constants and the boundary.
        inversion: how close to the middle of an interval to aim, and the settings of Janus' own descent.
        swarm: rows to propose for each candidate wanted; more where they cost nothing.
        min_distance: part of the pixels in which those taken will have to differ.
        model: the network of this round and its card, trained when first asked for; if `needs_model`.
        simulate: images to their results, None where the physics or the budget refused; each image that was not
            simulated before is charged to the budget.
        progress: told the step reached and the number of steps.
    """

    grid: tuple[int, ...]
    material: Material
    inversion: InversionConfig = field(default_factory=InversionConfig)
    swarm: int = 1
    min_distance: float = 0.0
    model: Callable[[], tuple[Any, Any]] = _no_model
    simulate: Callable[[Sequence[Image]], Sequence[Result | None]] = _no_simulation
    progress: Callable[[int, int], None] = _silent

    @property
    def boundary(self) -> Boundary:
        """The boundary condition that all physics share."""
        return self.material.boundary


class Generator(Protocol):
    """One that proposes; made by `Class(tools)`, for one round.

    A class with `needs_model = True` has a network trained on the samples before every round; one with
    `needs_samples = True` is refused where a campaign begins with none. Whatever it proposes
    must follow from its arguments, and from what `tools.simulate` answers, alone: a round that was killed asks again.

    One whose pools have latent vectors may have a method `corrected(shots: Sequence[Shot]) -> Pool`: after a simulation
    it proposes a row for each shot, in order and near it, that should meet the target if its own predictions are wrong
    by what they were wrong by there; what it then predicts is corrected, too. One with a network may have a method
    `opinion(images: Sequence[Image]) -> Sequence[Result | None]`, what that thinks of images, with sensitivities:
    refinement asks it of flips before they are paid for.
    """

    def fit(self, known: Known) -> None:
        """Learn from what is known; may do nothing."""

    def propose(self, wanted: Wanted, known: Known, seed: Sequence[int]) -> Pool:
        """Fields for what is wanted, more than that where it costs nothing, with predictions."""


def generator(name: str) -> Callable[[Tools], Generator]:
    """A generator's class by name or import path.

    Raises:
        DoorError: there is none of that name.
    """
    return load("generator", BUILT_IN, name)


def fitted(made: Callable[[Tools], Generator], tools: Tools, known: Known) -> Generator:
    """A generator that has learned from what is known.

    Raises:
        DoorError: a user's own fails.
    """
    with guarded("generator", made):
        own = made(tools)
        own.fit(known)
    return own


def needs_model(made: Callable[[Tools], Generator]) -> bool:
    """Whether a generator's class wants a network trained."""
    return bool(getattr(made, "needs_model", False))
