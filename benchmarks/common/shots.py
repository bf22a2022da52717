"""First shots: inverted, cut at 0.5, simulated, nothing corrected; and what the benchmarks of inversion print and keep.

A row is of `--targets` conductivities (kxx and kyy in turn, across the 5th to 95th percentile of the data), each from
`--seeds` starting points. The error is |k / target - 1|.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from common.header import ROOT, header

PHASES = (0.1, 1.0)


def run(part, doc):
    """Parse the command line, let `part` make rows, and keep them under its name in the JSON file."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=ROOT / "campaigns" / "inversion", help="where networks are kept")
    parser.add_argument("--model", type=Path, help="judge this model instead of the cached networks")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "inversion.json")
    parser.add_argument("--targets", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=2, help="of the starting points")
    parser.add_argument("--steps", type=int, default=1000, help="of a training")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--smoke", action="store_true", help="seconds instead of an hour, in a temporary folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(header("torch"))
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smoke:
            vars(arguments).update(cache=Path(folder), out=Path(folder) / "out.json", targets=2, seeds=1, steps=2)
            vars(arguments).update(images=24)
        rows = part(arguments)
        kept = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
        name = part.__name__ if arguments.model is None else f"{part.__name__} of {arguments.model.name}"
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({**kept, name: {"made": header("torch"), "rows": rows}}, indent=1))


class Shots:
    """Targets, and what physics says of images meant to meet them."""

    def __init__(self, card, arguments):
        from loop.design.candidates import probe_targets
        from simulators import DirectHomogenizer

        self.phases, self.homogenizer = card.phase_conductivity, DirectHomogenizer(card.boundary)
        self.names = list(card.property_range)
        targets = probe_targets(card.property_range, arguments.targets)
        self.column = torch.tensor([self.names.index(next(iter(t.intervals))) for t in targets])
        self.value = np.array([sum(next(iter(t.intervals.values()))) / 2 for t in targets])
        self.scale = np.log

    def wanted(self, model):
        """What the head should say, standardised, (n,); it predicts `scale` of k."""
        log = torch.tensor(self.scale(self.value), dtype=torch.float32)
        return (log - model.log_mean[0]) / model.log_std[0]

    def errors(self, grey):
        """Signed relative errors of the decodes, cut at 0.5."""
        images = (np.asarray(grey) > 0.5).astype(np.uint8)
        k = np.array([self.homogenizer(image, self.phases).k for image in images])
        return k[np.arange(len(k)), self.column.numpy()] / self.value - 1


def shoot(model, shots, arguments, task=None, start=None, config=None, finish=None):
    """Errors over all seeds of starting points, the seconds of CPU a shot, and the head's own errors."""
    from janus_al.inversion import InversionConfig, descend

    config = config or InversionConfig()
    errors, own, began = [], [], time.process_time()
    wanted = shots.wanted(model)
    for seed in range(arguments.seeds):
        noise = np.random.default_rng([seed, 3]).standard_normal((len(wanted), model.config.latent))
        z = (start or prior)(model, shots, torch.tensor(noise, dtype=torch.float32), seed)
        z = descend(model, z, (task or straight_through)(model, shots, config), moments(model), config)
        if finish is not None:
            z = finish(z)
        with torch.no_grad():
            grey = model.decode(z)
            seen = picked(model, model.encode((grey > 0.5).float()), shots)
        own.append(((seen - wanted).abs() * model.log_std[0]).numpy())
        errors.append(grey.numpy())
    seconds = (time.process_time() - began) / (len(wanted) * arguments.seeds)
    physics = np.concatenate([np.abs(shots.errors(grey)) for grey in errors])
    return physics, seconds, np.concatenate(own)


def moments(model):
    return model.latent_mean, model.latent_std


def prior(model, shots, noise, seed):
    return model.latent_mean + model.latent_std * noise


def picked(model, z, shots):
    return model.predict(z).gather(1, shots.column[:, None]).squeeze(1)


def binarised(grey):
    return grey + ((grey > 0.5).float() - grey).detach()


def straight_through(model, shots, config):
    wanted = shots.wanted(model)

    def task(z, grey):
        head = (picked(model, z, shots) - wanted) ** 2
        return (
            config.l_task * head + config.l_binary * (picked(model, model.encode(binarised(grey)), shots) - wanted) ** 2
        )

    return task


def row(name, result, note=""):
    physics, seconds, own = result
    found = {
        "idea": name,
        "first_shot_median": float(np.median(physics)),
        "first_shot_mean": float(physics.mean()),
        "first_shot_90": float(np.quantile(physics, 0.9)),
        "head_median": float(np.median(own)),
        "cpu_ms_a_shot": 1000 * seconds,
        **({"note": note} if note else {}),
    }
    print(
        f"| {name} | {found['first_shot_median']:.2%} | {found['first_shot_mean']:.2%} | {found['first_shot_90']:.2%} "
        f"| {found['head_median']:.2%} | {found['cpu_ms_a_shot']:.0f} | {note} |",
        flush=True,
    )
    return found


def head_line(first):
    print(f"\n| {first} | first shot, median | mean | 90th percentile | by the head | CPU ms a shot | |\n|{'---|' * 7}")
