"""The state of a training run on its way, in a file that a run which was broken off goes on from."""

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch

from janus_al.files import atomic_path


def write_state(state: Path, kept: dict[str, Any]) -> None:
    """A checksum, then what torch makes of it; torch's own file writer hides that a disk is full."""
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    with atomic_path(state) as temporary:
        temporary.write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())


def read_state(state: Path, device: torch.device) -> dict[str, Any] | None:
    """What was kept, or None where there is nothing or it is damaged."""
    if not state.exists():
        return None
    data = state.read_bytes()
    if data[:32] == hashlib.sha256(data[32:]).digest():
        kept: dict[str, Any] = torch.load(io.BytesIO(data[32:]), map_location=device, weights_only=True)
        return kept
    warnings.warn(f"{state}: damaged, dropped; training begins again", stacklevel=2)
    state.unlink()
    return None
