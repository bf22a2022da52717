"""The paper's first result: Janus on handwritten digits, its inversions judged by a classifier of their own."""

import gzip
import hashlib
import json
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.classes import (
    SHIFT,
    Labelled,
    class_moments,
    evaluate_classes,
    invert_classes,
    train_classes,
)
from janus_al.dataset import DatasetError, atomic_path
from janus_al.fitting import TrainingConfig, TrainingError
from janus_al.inversion import InversionConfig
from janus_al.judge import judged, train_judge
from janus_al.network import Janus, JanusConfig
from janus_al.training import build
from loop import pictures
from loop.outputs import check_folder, claim

CLASSES = tuple("0123456789")
EACH = 10
"""inversions of each digit"""
NETWORK = JanusConfig(size=28 + 2 * SHIFT, stem=4, properties=CLASSES)


def training_config(images: int, epochs: int, batch: int) -> TrainingConfig:
    """Settings of a run of so many epochs."""
    steps = max(1, images // batch) * epochs
    return TrainingConfig(
        steps=steps,
        batch=batch,
        simulated=batch,
        cycled=min(16, batch),
        l_sens=0.0,
        reconstruction="bce",
        checks=epochs,
    )


def reproduce_mnist(
    folder: Path,
    out: Path,
    epochs: Sequence[int],
    batch: int,
    limit: int | None,
    seed: int,
    device: str,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Train for each number of epochs afresh; invert every digit with the last model; write JSON and a picture.

    Raises:
        DatasetError: the files are not MNIST's.
        OutputError: `out` holds a run with other settings, or something else.
    """
    train, test = read_mnist(folder, "train", limit), read_mnist(folder, "t10k", limit)
    bits = b"".join(a.tobytes() for a in (train.image, train.label, test.image, test.label))
    run = {"command": "reproduce mnist", "seed": seed, "images": hashlib.sha256(bits).hexdigest(), "batch": batch}
    check_folder(out, run, [folder], force=None)
    claim(out, run, [])
    began = time.perf_counter()
    judge = train_judge(train, len(CLASSES), seed + 1)
    certain = judged(judge, test.image / 255)
    report: dict[str, Any] = {
        "images": {"train": len(train), "test": len(test)},
        "seed": seed,
        "network": asdict(NETWORK),
        "judge": {
            "accuracy": float((certain.argmax(axis=1) == test.label).mean()),
            "seconds": time.perf_counter() - began,
        },
        "runs": [],
    }
    for number in epochs:
        config = training_config(len(train), number, batch)
        model, seconds = _trained(
            out / f"epochs-{number}", train, config, seed, device, partial(progress, f"training, {number} epochs")
        )
        row = {"epochs": number, **evaluate_classes(model, test), "seconds": seconds}
        report["runs"].append({**row, "training": asdict(config)})
    wanted, inversion = np.repeat(np.arange(len(CLASSES)), EACH), InversionConfig()
    began = time.perf_counter()
    images, confidence = invert_classes(
        model,
        wanted,
        class_moments(model, train),
        seed,
        inversion,
        partial(progress, "inversion"),
    )
    seconds = time.perf_counter() - began
    verdict = judged(judge, images)
    report["inversion"] = {
        "images": len(wanted),
        "passes": inversion.steps,
        "seconds": seconds,
        "recognised_by_head": int((confidence > 0.5).sum()),
        "recognised_by_judge": int((verdict.argmax(axis=1) == wanted).sum()),
        "confidence_of_head": float(confidence.mean()),
        "confidence_of_judge": float(verdict[np.arange(len(wanted)), wanted].mean()),
        "mean_distance_within_class": _diversity(images.reshape(len(CLASSES), EACH, -1)),
        "mean_distance_within_class_of_data": _diversity(
            np.stack([test.image[test.label == c][:EACH].reshape(-1, 28 * 28) / 255 for c in range(len(CLASSES))])
        ),
    }
    taken = [f"{'' if v.argmax() == d else '!'}{v.argmax()}" for v, d in zip(verdict, wanted, strict=True)]
    pictures.grid(out / "digits.png", images, taken, EACH)
    with atomic_path(out / "mnist.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1))
    return report


def _trained(
    folder: Path,
    data: Labelled,
    config: TrainingConfig,
    seed: int,
    device: str,
    progress: Callable[[int, int], None],
) -> tuple[Janus, float]:
    """The model of one run and the seconds it took; a run that is on disk is read, one begun is gone on with."""
    from safetensors.torch import load_file, save

    model = build(NETWORK, seed).to(device)
    identity = {"training": asdict(config), "network": asdict(NETWORK), "seed": seed, "images": len(data)}
    identity = json.loads(json.dumps(identity))
    done, weights = folder / "run.json", folder / "weights.safetensors"
    if done.exists():
        found = json.loads(done.read_text())
        if found["run"] != identity:
            raise TrainingError(f"{folder}: the model of another run; remove it, or give another --out")
        model.load_state_dict(load_file(weights))
        return model.eval(), float(found["seconds"])
    folder.mkdir(parents=True, exist_ok=True)
    fitted = train_classes(model, data, config, seed, folder / "state.pt", progress)
    with atomic_path(weights) as temporary:
        temporary.write_bytes(save({k: v.cpu().contiguous() for k, v in model.state_dict().items()}))
    with atomic_path(done) as temporary:
        temporary.write_text(json.dumps({"run": identity, "seconds": fitted.seconds, "history": fitted.history}))
    return model, fitted.seconds


def read_mnist(folder: Path, part: str, limit: int | None = None) -> Labelled:
    """Images and labels of one part, "train" or "t10k", from IDX files, plain or gzip.

    Raises:
        DatasetError: a file is missing, damaged or of another format.
    """
    image = read_idx(_find(folder, f"{part}-images-idx3-ubyte"))
    label = read_idx(_find(folder, f"{part}-labels-idx1-ubyte"))
    if image.ndim != 3 or label.shape != image.shape[:1] or image.shape[1:] != (28, 28):
        raise DatasetError(f"{folder}: {part} has images {image.shape} and labels {label.shape}; MNIST has 28 x 28")
    return Labelled(image[:limit], label[:limit])


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes in IDX format (LeCun): two zero bytes, type 8, the number of axes, their lengths, the data."""
    try:
        raw = (gzip.decompress if path.suffix == ".gz" else bytes)(path.read_bytes())
        zero, kind, axes = struct.unpack(">HBB", raw[:4])
        shape = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes])
        if (zero, kind) != (0, 8):
            raise ValueError("its first bytes are not those of an IDX file of unsigned bytes")
        return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise DatasetError(f"{path}: damaged ({error}); fetch it again") from None


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{folder / name}: no such file, plain or .gz; name the folder that holds MNIST's four files"
    )


def _diversity(members: NDArray[np.floating]) -> float:
    """Mean absolute pixel difference of two members of a class, over (classes, members, pixels)."""
    n = members.shape[1]
    pairs = np.abs(members[:, :, None] - members[:, None]).mean(axis=-1)
    return float(pairs.sum(axis=(1, 2)).mean() / (n * (n - 1)))
