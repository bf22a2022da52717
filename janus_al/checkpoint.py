"""A trained model on disk: weights.safetensors beside model.json, which says how to rebuild and trust it.

SHA256SUMS holds the checksum of either, as `sha256sum -c` reads it.
"""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from janus_al.dataset import Boundary, DatasetError, atomic_path
from janus_al.network import Janus, JanusConfig

FORMAT, VERSION = "janus-al model", 2
"""version 1 has no checksums"""
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Card:
    """What a model was trained on and how; everything in model.json but the network's configuration."""

    phase_conductivity: tuple[float, ...]
    boundary: Boundary
    dataset_digest: str
    simulated: int
    training: dict[str, Any]
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    property_range: dict[str, tuple[float, float]] = field(default_factory=dict)
    """5th and 95th percentile of each conductivity among the simulated training samples"""
    images: list[str] = field(default_factory=list)
    """first digits of the canonical hash of every training image, so that no test shares one"""


def save(folder: Path, model: Janus, card: Card) -> str:
    """Write the files, model.json last: a folder without it is not a model. Returns the model's SHA-256."""
    from safetensors.torch import save as serialise

    folder.mkdir(parents=True, exist_ok=True)
    description = {
        "format": FORMAT,
        "version": VERSION,
        "network": asdict(model.config),
        "card": asdict(card),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }
    files = {
        "weights.safetensors": serialise({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}),
        "model.json": json.dumps(description, indent=1).encode(),
    }
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()
    for name, data in {SUMS: sums, **files}.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(data)
    return hashlib.sha256(sums).hexdigest()


def _check_sums(folder: Path, sha256: str | None) -> None:
    """Compare every byte with `SHA256SUMS`, and that with the checksum wanted, if one is.

    Raises:
        DatasetError: a file is lost or damaged, or it is another model.
    """
    path = folder / SUMS
    sums = path.read_bytes() if path.is_file() else b""
    if sha256 is not None and hashlib.sha256(sums).hexdigest() != sha256:
        raise DatasetError(f"{path}: damaged or of another model; its checksum is not the one recorded")
    for name in ("weights.safetensors", "model.json"):
        data = (folder / name).read_bytes() if (folder / name).is_file() else b""
        if f"{hashlib.sha256(data).hexdigest()}  {name}".encode() not in sums.splitlines():
            raise DatasetError(f"{folder / name}: lost or damaged; its checksum is not the one in {SUMS}")


def load(folder: Path, device: str = "cpu", sha256: str | None = None) -> tuple[Janus, Card]:
    """Rebuild a model.

    Args:
        folder: that of the model.
        device: where it shall run.
        sha256: the model's, if it must be this one.

    Raises:
        FileNotFoundError: the folder holds no model.
        DatasetError: a file is damaged, of another format or another model's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "model.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no model here; make one with `janus-al train DATA.h5 --out {folder}`")
    try:
        description = json.loads(path.read_text())
        if description["format"] != FORMAT or description["version"] not in (1, VERSION):
            raise DatasetError(f"{path}: not a '{FORMAT}' of version 1 to {VERSION}")
        if sha256 is not None or description["version"] > 1:
            _check_sums(folder, sha256)
        network = description["network"]
        model = Janus(JanusConfig(**{**network, "properties": tuple(network["properties"])}))
        model.load_state_dict(load_file(folder / "weights.safetensors"))
        card = description["card"]
        card["phase_conductivity"] = tuple(card["phase_conductivity"])
        card["property_range"] = {k: tuple(v) for k, v in card["property_range"].items()}
    except DatasetError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DatasetError(f"{folder}: damaged model ({error})") from None
    return model.to(device).eval(), Card(**card)
