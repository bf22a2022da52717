"""Where the network runs."""

import torch


class DeviceError(ValueError):
    """A device that is unknown or not there."""


def prepare(device: str, threads: int) -> str:
    """Set torch's threads, and resolve 'auto' to the GPU when there is one.

    Raises:
        DeviceError: an unknown device, or no GPU where one was asked for.
    """
    if device not in {"auto", "cpu", "cuda"}:
        raise DeviceError(f"device '{device}': it must be auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device 'cuda': torch finds no GPU here; use cpu or auto")
    torch.set_num_threads(threads)
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
