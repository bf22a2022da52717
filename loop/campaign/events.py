"""What the lines of a journal must say before anything is derived from them, and in which order they come.

Only what is read is described: further fields, and events of other names, are let through.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from types import NoneType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from janus_al.errors import DatasetError, first_error, one_line
from janus_al.properties import row_of
from janus_al.quantities import quantity
from loop.design.measures import MEASURES
from loop.files.outputs import plain

Count = Annotated[int, Field(ge=0, lt=2**53)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Inside = Annotated[str, AfterValidator(partial(plain, depth=2))]
Name = Annotated[str, AfterValidator(plain)]


def _known(name: str) -> str:
    row_of(name)
    return name


def _asked(name: str) -> str:
    if name not in (*MEASURES, "periodic"):
        quantity(name)
    return name


def _is_asked(given: Any) -> Any:
    words = [given] if isinstance(given, str) else given
    ends = words[1:] if isinstance(words, list) and words[:1] in (["max"], ["min"]) else words
    if given is not True and not (isinstance(ends, list) and all(type(e) in (float, int, NoneType) for e in ends)):
        raise ValueError("what is wanted must be an interval, max or min")
    if given is not True and len(ends) not in ((0, 2) if ends is not words else (2,)):
        raise ValueError("an interval must have two ends")
    return given


Property = Annotated[str, AfterValidator(_known)]
Range = Annotated[list[float], Field(min_length=2, max_length=2)]
Wanted = Annotated[Any, AfterValidator(_is_asked)]
"""of a quantity or a measure, see `Target.wanted`"""


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Event(_Table):
    event: str
    time: float


class _Failure(_Table):
    hash: Hash
    canonical: Hash | None = None
    reason: str


class _Shard(_Event):
    round: Count
    file: Inside | None
    sha256: Hash | None
    samples: Count
    simulated: Count
    simulations: Count | None = None
    """paid for; without it, one for each simulated sample and failure"""
    probes: bool = False
    """paid for by the budget of the probes"""
    failed: list[_Failure]
    seconds: float

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.file is None) != (self.samples == 0) or (self.file is None) != (self.sha256 is None):
            raise ValueError(f"file {self.file}, sha256 {self.sha256}, {self.samples} samples: all or none")
        if self.simulated > self.samples:
            raise ValueError(f"{self.simulated} simulated of {self.samples} samples")
        return self


class _Counts(_Table):
    samples: Count
    simulated: Count
    digest: str


class _Source(_Counts):
    path: str


class _Campaign(_Event):
    campaign_id: str
    name: str
    source: _Source
    probe_range: dict[Property, Range] = {}
    start: Hash | None = None


class _Begun(_Event):
    config: dict[str, Any]


Values = Annotated[dict[str, float], Field(min_length=1)]


class _Proposal(_Table):
    target: str
    wanted: Annotated[dict[Annotated[str, AfterValidator(_asked)], Wanted], Field(min_length=1)]
    probe: bool
    predicted: Values
    latent: list[float] | None = None
    interval: dict[Property, Range] = {}
    p_hit: float | None = None
    source: str = ""
    bias: dict[str, float] = {}


class _Proposed(_Event):
    round: Count
    file: Inside
    sha256: Hash
    candidates: list[_Proposal]
    passed_over: dict[str, Count] = {}


class _Retrained(_Event):
    round: Count
    sha256: Hash


class _Compared(_Table):
    samples: Count
    old: float
    new: float
    noise: float


class _Guard(_Table):
    accepted: bool
    """or the model before it stays"""
    test: _Compared | None = None
    proposals: _Compared | None = None
    best: _Compared | None = None
    """on the test set, with the best model so far where that is another than the last"""


class _Trained(_Event):
    round: Count
    model: Inside
    sha256: Hash | None = None
    seconds: float
    dataset: _Counts
    weights: dict[str, float]
    metrics: dict[str, float]
    guard: _Guard | None = None
    """how it compares with the model before it, from round 1 on"""


class _Candidate(_Table):
    target: str
    hash: Hash
    predicted: Values
    interval: dict[Property, Range] = {}
    p_hit: float | None = None
    source: str = ""
    bias: dict[str, float] = {}
    first_shot: Values
    trials: list[Hash] = []
    """images simulated, in order"""
    error: float | None
    simulations: Count
    met: bool


class _Design(_Table):
    target: str
    name: Name
    hash: Hash
    likeness: float | None = None
    """to the class of the first samples, or of the model to start from"""


class _Coverage(_Table):
    level: float
    values: Count
    held: Count
    shots: Count
    hits_expected: float
    hits: Count


class _Round(_Event):
    round: Count
    candidates: Count
    probes: Count
    first_shot_error_median: float | None
    probe_error_median: float | None
    probe_error_mean: float | None
    hits: Count
    simulations: Count
    spent: Count
    coverage: _Coverage | None = None
    seconds: dict[str, float]
    designs: list[_Design]
    candidates_table: list[_Candidate]


class _GivenUp(_Event):
    round: Count
    budget: dict[str, float]
    targets: Annotated[dict[str, str], Field(min_length=1)]


class _Finished(_Event):
    state: Literal["done", "stopped"]
    reason: str


KINDS: dict[str, type[_Event]] = {
    "shard": _Shard,
    "begun": _Begun,
    "proposed": _Proposed,
    "retrained": _Retrained,
    "campaign": _Campaign,
    "trained": _Trained,
    "round": _Round,
    "given_up": _GivenUp,
    "finished": _Finished,
}


def checked(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The events of a journal's lines, each checked as it comes.

    Raises:
        DatasetError: for the first line that is damaged, or that does not follow from those before it.
    """
    order = _Order()
    for number, line in enumerate(lines, start=1):
        try:
            event = from_json(line, allow_inf_nan=False)
            if not isinstance(event, dict):
                raise ValueError("it is no JSON object")
            kind = KINDS.get(_Event.model_validate(event).event, _Event)
            order.take(kind.model_validate(event))
        except ValueError as error:
            what = first_error(error) if isinstance(error, ValidationError) else one_line(error)
            raise DatasetError(f"line {number} is damaged ({what}); restore the journal from a copy") from None
        yield event


class _Order:
    """What has been said so far."""

    def __init__(self) -> None:
        self.begun, self.samples, self.round = False, 0, 0
        self.designs: set[str] = set()
        self.candidates: set[tuple[str, str]] = set()

    def take(self, event: _Event) -> None:
        """Take the next event.

        Raises:
            ValueError: lines before it are missing, or it says again what was said.
        """
        early = isinstance(event, _Trained | _Round | _Finished) or (isinstance(event, _Shard) and event.round > 0)
        if early and not self.begun:
            raise ValueError(f"'{event.event}' before the campaign began: lines before it are missing")
        if isinstance(event, _Shard):
            self.samples += event.samples
        elif isinstance(event, _Campaign):
            if self.begun:
                raise ValueError("the campaign begins a second time")
            if self.samples < event.source.samples:
                raise ValueError(f"{self.samples} samples of {event.source.samples}: lines before it are missing")
            self.begun = True
        elif isinstance(event, _Round):
            if event.round != self.round + 1:
                raise ValueError(f"round {event.round} where round {self.round + 1} belongs")
            self.candidates |= {(c.hash, c.target) for c in event.candidates_table}
            if lost := {(d.hash, d.target) for d in event.designs} - self.candidates:
                key, target = min(lost)
                raise ValueError(f"design {key[:12]}... for {target} is none of the candidates so far")
            names = [design.name for design in event.designs]
            if len(self.designs | set(names)) < len(self.designs) + len(names):
                raise ValueError(f"designs {names}: one of them was named before")
            self.round, self.designs = event.round, self.designs | set(names)
