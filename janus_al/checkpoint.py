"""A trained model on disk: weights.safetensors beside model.json, which says how to rebuild and trust it.

SHA256SUMS holds the checksum of either, as `sha256sum -c` reads it.
"""

import contextlib
import hashlib
import json
import platform
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from janus_al.errors import DatasetError, first_error, one_line
from janus_al.files import MODEL, atomic_path
from janus_al.lengths import checked, parted
from janus_al.likeness import Likeness
from janus_al.material import UNIT, Boundary, Finite, Material
from janus_al.networks.janus import CONDUCTIVITIES, LARGEST, Janus, JanusConfig
from janus_al.properties import PropertyError
from janus_al.shipped import models, shipped

FORMAT, VERSION = "janus-al model", 4
"""version 1 has no checksums; those before 3 know conduction in planes alone, those before 4 no tilt of the head"""
DESCRIPTION, WEIGHTS, SUMS = MODEL
MAX_JSON = 2**26
"""bytes of model.json, at most: a history of a hundred thousand checks"""
MAX_WEIGHTS = 4 * LARGEST + MAX_JSON
"""bytes of weights.safetensors, at most"""
MAX_SUMS = 2**16
"""bytes of SHA256SUMS that are read"""
TILT = "tilt"
"""the array that files of before version 4 do not have"""
MEND = "restore it from a copy, or train it again"


@dataclass(frozen=True)
class Card:
    """What a model was trained on and how; everything in model.json but the network's configuration."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    material: Material
    dataset_digest: str
    simulated: Annotated[int, Field(ge=0, lt=2**53)]
    training: dict[str, Any]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    property_range: dict[str, tuple[Finite, Finite]] = field(default_factory=dict)
    """5th and 95th percentile of each property among the simulated training samples"""
    proposals: list[dict[str, dict[str, Finite]]] = field(default_factory=list)
    """what its own proposals turned out to be, properties `predicted` and of the `first_shot`, by name; may be empty"""
    images: list[str] = field(default_factory=list)
    """first digits of the canonical hash of every training image, so that no test shares one"""
    likeness: Likeness | None = None
    """the class that its training images are of, with which designs are compared"""
    pixel: Annotated[str, AfterValidator(checked)] = ""
    """length of a pixel's side, such as 0.5um; empty where it is not known"""

    @property
    def phase_conductivity(self) -> tuple[float, ...]:
        """Conductivity of label i."""
        return self.material.phase_conductivity

    @property
    def boundary(self) -> Boundary:
        """The boundary conditions that all properties share."""
        return self.material.boundary


@dataclass(frozen=True)
class _Format:
    format: str
    version: int


@dataclass(frozen=True)
class _Description(_Format):
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    network: JanusConfig
    card: Card
    versions: dict[str, str]


def save(folder: Path | str, model: Janus, card: Card) -> str:
    """Write the files, model.json last: a folder without it is not a model. Returns the model's SHA-256."""
    from safetensors.torch import save as serialise

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "format": FORMAT,
        "version": VERSION,
        "network": asdict(model.config),
        "card": asdict(card),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }
    files = {
        WEIGHTS: serialise({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}),
        DESCRIPTION: json.dumps(description, indent=1).encode(),
    }
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()
    for name, data in {SUMS: sums, **files}.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(data)
    return hashlib.sha256(sums).hexdigest()


def _has_sum(path: Path, sums: bytes) -> bool:
    if not path.is_file() or path.stat().st_size > MAX_WEIGHTS:
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{digest}  {path.name}".encode() in sums.splitlines()


def _check_sums(folder: Path, sha256: str | None) -> None:
    """Compare every byte with `SHA256SUMS`, and that with the checksum wanted, if one is.

    Raises:
        DatasetError: a file is lost or damaged, or it is another model.
    """
    path = folder / SUMS
    sums = b""
    if path.is_file():
        with path.open("rb") as file:
            sums = file.read(MAX_SUMS)
    if sha256 is not None and hashlib.sha256(sums).hexdigest() != sha256:
        raise DatasetError(f"{path}: damaged or of another model; its checksum is not the one recorded")
    for name in (WEIGHTS, DESCRIPTION):
        if not _has_sum(folder / name, sums):
            raise DatasetError(f"{folder / name}: lost or damaged; its checksum is not the one in {SUMS}")


def enlarged(model: Janus, card: Card, grid: tuple[int, ...]) -> tuple[Janus, Card]:
    """A model for images of a whole number of times as many pixels a side, which are as much shorter.

    Its class of images is not known then: that is told by images of its own size.

    Raises:
        ValueError: it is no such number.
    """
    times = grid[0] // model.config.grid[0]
    model = model.enlarged(grid)
    return model, card if times == 1 else replace(card, likeness=None, pixel=parted(card.pixel, times))


def load(folder: Path | str, device: str = "cpu", sha256: str | None = None) -> tuple[Janus, Card]:
    """Rebuild a model.

    Args:
        folder: that of the model, or the name of a shipped one.
        device: where it shall run.
        sha256: the model's, if it must be this one.

    Raises:
        FileNotFoundError: the folder holds no model.
        DatasetError: a file is damaged, of another format, another model's, or says what no training writes.
    """
    folder = shipped(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder}: no model here; make one with `janus-al train DATA.h5 --out {folder}`, or name a shipped one, "
            f"{', '.join(models())}"
        )
    if (size := path.stat().st_size) > MAX_JSON:
        raise DatasetError(f"{path}: {size} bytes; a model's description has {MAX_JSON} at most")
    text = path.read_bytes()
    try:
        about = TypeAdapter(_Format).validate_json(text)
        if about.format != FORMAT or about.version not in range(1, VERSION + 1):
            raise DatasetError(f"{path}: not a '{FORMAT}' of version 1 to {VERSION}")
        if sha256 is not None or about.version > 1:
            _check_sums(folder, sha256)
        text = text if about.version > 2 else _with_material(text)
        description = TypeAdapter(_Description).validate_json(text, strict=True)
        description.card.material.check_constants()
    except PropertyError as error:
        raise DatasetError(f"{folder}: damaged model ({path.name}: card.material: {error}); {MEND}") from None
    except ValidationError as error:
        raise DatasetError(f"{folder}: damaged model ({path.name}: {first_error(error)}); {MEND}") from None
    network, card = description.network, description.card
    if card.material.phases != 2:
        raise DatasetError(f"{path}: a material of {card.material.phases} phases; a model has two; {MEND}")
    if sorted(network.properties) != sorted(card.property_range):
        raise DatasetError(
            f"{path}: property_range of {str(list(card.property_range))[:60]} where the network predicts "
            f"{str(list(network.properties))[:60]}; {MEND}"
        )
    if card.likeness is not None and not (
        card.likeness.whole(network.grid) and card.likeness.boundary == card.material.boundary
    ):
        raise DatasetError(f"{path}: a likeness that is not one of images of this network; {MEND}")
    if strange := [name for name in network.properties if name not in card.material.simulated]:
        raise DatasetError(f"{path}: properties of {strange[0][:60]!r}, which its material does not have; {MEND}")
    return read_weights(folder / WEIGHTS, network).to(device).eval(), card


def _with_material(text: bytes) -> bytes:
    """A description of an earlier version, which has the material's two conductivities and its boundary only."""
    about = from_json(text)
    with contextlib.suppress(KeyError, TypeError, AttributeError):
        card = about["card"]
        if "material" in card:
            return text
        conductivity = card.pop("phase_conductivity")
        physics = {"simulator": "conduction", "constants": {"conductivity": conductivity}, "unit": UNIT}
        physics["properties"] = list(CONDUCTIVITIES)
        card["material"] = {"physics": [physics], "boundary": card.pop("boundary")}
    return json.dumps(about).encode()


def read_weights(path: Path, network: JanusConfig) -> Janus:
    """A network with the weights of a file, compared with the file's header before anything is allocated.

    Raises:
        DatasetError: the file is missing or damaged, holds other weights, or weights that are not finite.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            found = {name: (s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()}
            if network.architecture == "vit" and network.depth > len(found):
                raise ValueError(f"depth {network.depth} but {len(found)} arrays of weights")
            with torch.device("meta"):
                model = Janus(network)
            wanted = {name: ("F32", tuple(value.shape)) for name, value in model.state_dict().items()}
            level = {} if TILT in found else {TILT: torch.zeros(wanted.pop(TILT)[1])}
            for name in sorted(wanted.keys() | found.keys()):
                if wanted.get(name) != found.get(name):
                    raise ValueError(f"{name} is {found.get(name)} where {wanted.get(name)} belongs")
            weights = {name: file.get_tensor(name) for name in found} | level
        strange = [name for name, value in weights.items() if not value.isfinite().all()]
        strange += [name for name in ("log_std", "latent_std") if (weights[name] <= 0).any()]
        if strange:
            raise ValueError(f"{strange[0]} holds values that no training gives")
        model.load_state_dict(weights, assign=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, MemoryError, SafetensorError) as error:
        raise DatasetError(f"{path.parent}: damaged model ({path.name}: {one_line(error)}); {MEND}") from None
    return model.to(memory_format=torch.channels_last) if network.dim == 2 else model  # type: ignore[call-overload]
