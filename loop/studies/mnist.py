"""The paper's first result: Janus on handwritten digits, its inversions judged by a classifier of their own."""

import gzip
import hashlib
import json
import math
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from janus_al.checkpoint import read_weights
from janus_al.digits.classes import (
    SHIFT,
    Labelled,
    class_moments,
    evaluate_classes,
    invert_classes,
    train_classes,
)
from janus_al.digits.judge import judged, train_judge
from janus_al.errors import DatasetError, first_error, one_line
from janus_al.files import atomic_path
from janus_al.fitting import Run, TrainingConfig, TrainingError
from janus_al.inversion import InversionConfig
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.training import build
from loop.files.outputs import check_folder, claim
from loop.output import pictures
from loop.studies.means import Say

CLASSES = tuple("0123456789")
SIDE = 28
MOST = 2**20
"""entries of a file; the largest of MNIST's kind, EMNIST, has 814,255"""
BLOCK = 2**20
"""bytes read at once, so that a header that promises too much takes no memory"""
EACH = 10
"""inversions of each digit"""
NETWORK = JanusConfig(size=SIDE + 2 * SHIFT, stem=4, properties=CLASSES)


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


@dataclass(frozen=True)
class Plan:
    """The runs of one reproduction: their lengths in epochs, images a step, how many images at most, the seed."""

    epochs: Sequence[int] = (2, 50)
    batch: int = 64
    limit: int | None = None
    seed: int = 0


def reproduce_mnist(folder: Path, out: Path, plan: Plan, device: str, progress: Say) -> dict[str, Any]:
    """Train for each number of epochs afresh; invert every digit with the last model; write JSON and a picture.

    Raises:
        DatasetError: the files are not MNIST's.
        OutputError: `out` holds a run with other settings, or something else.
    """
    train, test = (read_mnist(folder, part, plan.limit) for part in ("train", "t10k"))
    seed = plan.seed
    bits = b"".join(a.tobytes() for a in (train.image, train.label, test.image, test.label))
    run = {"command": "reproduce mnist", "seed": seed, "images": hashlib.sha256(bits).hexdigest(), "batch": plan.batch}
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
    for number in plan.epochs:
        config = training_config(len(train), number, plan.batch)
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
            np.stack([test.image[test.label == c][:EACH].reshape(-1, SIDE * SIDE) / 255 for c in range(len(CLASSES))])
        ),
    }
    taken = [f"{'' if v.argmax() == d else '!'}{v.argmax()}" for v, d in zip(verdict, wanted, strict=True)]
    pictures.grid(out / "digits.png", images, taken, EACH)
    with atomic_path(out / "mnist.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1))
    return report


@dataclass(frozen=True)
class _Done:
    """What run.json says of a finished run."""

    run: dict[str, Any]
    seconds: float


def _trained(
    folder: Path,
    data: Labelled,
    config: TrainingConfig,
    seed: int,
    device: str,
    progress: Callable[[int, int], None],
) -> tuple[Janus, float]:
    """The model of one run and the seconds it took; a run that is on disk is read, one begun is gone on with."""
    from safetensors.torch import save

    identity = {"training": asdict(config), "network": asdict(NETWORK), "seed": seed, "images": len(data)}
    identity = json.loads(json.dumps(identity))
    done, weights = folder / "run.json", folder / "weights.safetensors"
    if done.exists():
        try:
            found = TypeAdapter(_Done).validate_json(done.read_bytes())
        except ValidationError as error:
            raise DatasetError(f"{done}: damaged ({first_error(error)}); remove {folder}, or restore it") from None
        if found.run != identity:
            raise TrainingError(f"{folder}: the model of another run; remove it, or give another --out")
        return read_weights(weights, NETWORK).to(device).eval(), found.seconds
    folder.mkdir(parents=True, exist_ok=True)
    model = build(NETWORK, seed)
    fitted = train_classes(model, data, config, seed, Run(device, folder / "state.pt", progress))
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
    paths = [_find(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1")]
    label = read_idx(paths[1], ())
    image = read_idx(paths[0], (SIDE, SIDE))
    if len(image) != len(label):
        raise DatasetError(f"{paths[1]}: {len(label)} labels for {len(image)} images; fetch both files again")
    if (strange := np.flatnonzero(label >= len(CLASSES))).size:
        raise DatasetError(f"{paths[1]}: label {label[strange[0]]} of image {strange[0]}; a digit is one of 0..9")
    return Labelled(image[:limit], label[:limit])


def read_idx(path: Path, sides: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array of bytes (n, *sides) in IDX format (LeCun): two zero bytes, type 8, the number of axes, their lengths,
    the data. No more is read than the header promises, which is at most `MOST` entries.

    Raises:
        DatasetError: the file is damaged, holds more or less than its header says, or something else.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            zero, kind, axes = struct.unpack(">HBB", file.read(4))
            if (zero, kind) != (0, 8):
                raise ValueError("its first bytes are not those of an IDX file of unsigned bytes")
            shape = struct.unpack(f">{axes}I", file.read(4 * axes))
            if shape[1:] != sides or axes == 0 or not 0 < shape[0] <= MOST:
                raise ValueError(f"its header promises {shape}, not 1 to {MOST} entries of {sides or 'one byte'}")
            size = math.prod(shape)
            parts = [part for start in range(0, size, BLOCK) if (part := file.read(min(BLOCK, size - start)))]
            raw = b"".join(parts)
            if len(raw) < size or file.read(1):
                raise ValueError(
                    f"its header promises {size} bytes and {'more' if len(raw) == size else len(raw)} follow"
                )
        return np.frombuffer(raw, dtype=np.uint8).reshape(shape)
    except (OSError, EOFError, ValueError, MemoryError, struct.error, zlib.error) as error:
        raise DatasetError(f"{path}: damaged ({one_line(error)}); fetch it again") from None


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
