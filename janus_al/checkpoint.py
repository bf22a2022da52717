"""A trained model on disk: weights.safetensors beside model.json, which says how to rebuild and trust it."""

import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from janus_al.dataset import Boundary, DatasetError, atomic_path
from janus_al.network import Janus, JanusConfig

FORMAT, VERSION = "janus-al model", 1


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


def save(folder: Path, model: Janus, card: Card) -> None:
    """Write both files, model.json last: a folder without it is not a model."""
    from safetensors.torch import save as serialise

    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "weights.safetensors") as temporary:
        temporary.write_bytes(serialise({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}))
    description = {
        "format": FORMAT,
        "version": VERSION,
        "network": asdict(model.config),
        "card": asdict(card),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }
    with atomic_path(folder / "model.json") as temporary:
        temporary.write_text(json.dumps(description, indent=1))


def load(folder: Path, device: str = "cpu") -> tuple[Janus, Card]:
    """Rebuild a model.

    Raises:
        FileNotFoundError: the folder holds no model.
        DatasetError: a file is damaged or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "model.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no model here; make one with `janus-al train DATA.h5 --out {folder}`")
    try:
        description = json.loads(path.read_text())
        if (description["format"], description["version"]) != (FORMAT, VERSION):
            raise DatasetError(f"{path}: not a '{FORMAT}' of version {VERSION}")
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
