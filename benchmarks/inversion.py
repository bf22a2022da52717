"""What brings the first-shot error down: each idea alone, on the same targets, judged by simulation.

    OMP_NUM_THREADS=1 python benchmarks/inversion.py [--part training,ideas,passes] [--model DIR] [--data DATA.h5]
        [--targets 48] [--seeds 2] [--out docs/results/inversion.json] [--smoke]

A shot: invert for a conductivity (kxx and kyy in turn, across the 5th to 95th percentile of the data), cut the decode
at 0.5, simulate it, correct nothing. The error is |k / target - 1|.

    training   networks trained with one setting changed, inverted with the defaults
    ideas      one network, one thing changed in the inversion; ensembles are of the seeds that `training` trained
    passes     first-shot error and time against the number of passes for three ways to descend

`training` makes its own data, 2,048 images of 32 x 32 pixels of which 512 were simulated, and keeps its networks in
CACHE; the other parts take these, or with --model any other, such as data/janus-64.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import dataclasses
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from common.header import ROOT, header

PHASES = (0.1, 1.0)
SEEDS = 3
"""networks of the ensembles"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="training,ideas,passes")
    parser.add_argument("--cache", type=Path, default=ROOT / "campaigns" / "inversion")
    parser.add_argument("--model", type=Path, help="for the ideas and passes, instead of the cached networks")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "inversion.json")
    parser.add_argument("--targets", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=2, help="of the starting points")
    parser.add_argument("--steps", type=int, default=1000, help="of a training")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--smoke", action="store_true", help="seconds instead of an hour, in a temporary folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(header("torch"))
    if arguments.smoke:
        with tempfile.TemporaryDirectory() as folder:
            vars(arguments).update(cache=Path(folder), out=Path(folder) / "out.json", targets=2, seeds=1, steps=2)
            vars(arguments).update(images=24)
            parts(arguments)
    else:
        parts(arguments)


def parts(arguments):
    for part in arguments.part.split(","):
        rows = {"training": training, "ideas": ideas, "passes": passes}[part](arguments)
        kept = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
        name = part if arguments.model is None else f"{part} of {arguments.model.name}"
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({**kept, name: {"made": header("torch"), "rows": rows}}, indent=1))


class Shots:
    """Targets, and what physics says of images meant to meet them."""

    def __init__(self, card, arguments):
        from loop.candidates import probe_targets
        from simulators import DirectHomogenizer

        self.phases, self.homogenizer = card.phase_conductivity, DirectHomogenizer(card.boundary)
        self.names = list(card.property_range)
        targets = probe_targets(card, arguments.targets)
        self.column = torch.tensor([self.names.index(next(iter(t.intervals))) for t in targets])
        self.value = np.array([sum(next(iter(t.intervals.values()))) / 2 for t in targets])

    def wanted(self, model):
        """Standardised log k, (n,)."""
        log = torch.tensor(np.log(self.value), dtype=torch.float32)
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


def datasets(arguments):
    """Samples of which a quarter were simulated, the same with all of them, and 256 others to test on."""
    from janus_al import dataset
    from loop.simulate import simulate_samples
    from simulators import generate

    def made(name, count, seed):
        path = arguments.cache / f"{name}-{count}.h5"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            images = generate(count, 32, seed)
            parts = simulate_samples(images, PHASES, "direct", 1, lambda *_: None, origin=b"generated", seed=seed)
            dataset.write(path, dataset.concatenate(parts), "inversion.py")
        return dataset.read(path)

    full = made("data", arguments.images, 200)
    few = arguments.images // 4
    partial = dataset.concatenate([full.take(np.arange(few)), dataset.unlabelled(full.image[few:], PHASES)])
    return partial, full, made("test", max(arguments.images // 8, 8), 201)


def network(arguments, name, samples, seed, change):
    """A trained network, from the cache if it is there."""
    from janus_al import checkpoint
    from janus_al.fitting import TrainingConfig
    from janus_al.network import JanusConfig
    from janus_al.training import train

    folder = arguments.cache / f"{name}-{seed}-{arguments.steps}".replace(" ", "-")
    if not (folder / "model.json").exists():
        base = TrainingConfig(steps=arguments.steps, batch=32, simulated=16, cycled=8, checks=10)
        net = {k: v for k, v in change.items() if k in JanusConfig.__dataclass_fields__}
        fit = {k: v for k, v in change.items() if k in TrainingConfig.__dataclass_fields__}
        model, card = train(samples, JanusConfig(**{"stem": 4, **net}), dataclasses.replace(base, **fit), seed)
        checkpoint.save(folder, model, card)
    return checkpoint.load(folder)


def training(arguments):
    """One setting of the training changed."""
    from janus_al.dataset import concatenate
    from janus_al.evaluation import evaluate
    from loop.executors import open_executor
    from loop.invert import shots_at
    from loop.simulate import simulate, to_samples
    from loop.targets import Target, interval

    partial, full, test = datasets(arguments)
    simulated = int(partial.simulated.sum())
    base, card = network(arguments, "base", partial, 0, {})

    def decodes(inverted):
        """As many again, from decodes of inversions or of random latent vectors."""
        rng = np.random.default_rng(5)
        if inverted:
            low, high = card.property_range["kxx"]
            values = rng.uniform(low, high, simulated)
            goals = [
                Target("t", {("kxx", "kyy")[i % 2]: interval("kxx", v, tolerance=0.01)}) for i, v in enumerate(values)
            ]
            with open_executor("process", 1) as executor:
                images = [c.image for c in shots_at(base, card, goals, 9, executor, solver="direct")]
        else:
            z = base.latent_mean + base.latent_std * torch.tensor(
                rng.standard_normal((simulated, base.config.latent)), dtype=torch.float32
            )
            with torch.no_grad():
                images = [(g > 0.5).astype(np.uint8) for g in base.decode(z).numpy()]
        with open_executor("process", 1) as executor:
            found = list(simulate(images, PHASES, "direct", executor))
        kept = [(i, r) for i, r in zip(images, found, strict=True) if not isinstance(r, str)]
        return concatenate([partial, to_samples([i for i, _ in kept], [r for _, r in kept], PHASES)])

    few = f"{simulated} simulated"
    variants = [
        (f"as it is, {few}", partial, {}),
        ("labels only", partial, {"l_sens": 0.0}),
        ("l_sens 3", partial, {"l_sens": 3.0}),
        ("l_sens 30", partial, {"l_sens": 30.0}),
        ("sensitivities pooled by 2", partial, {"pool": 2}),
        ("sensitivities pooled by 4", partial, {"pool": 4}),
        ("all images simulated", full, {}),
        ("as many decodes of random latents more", decodes(False), {}),
        ("as many inverted decodes more", decodes(True), {}),
        ("twice the steps", partial, {"steps": 2 * arguments.steps}),
        ("24 channels", partial, {"channels": 24}),
        ("stem of 2 pixels", partial, {"stem": 2}),
        ("Janus-ViT", partial, {"architecture": "vit", "rate": 1e-3}),
    ]
    rows = []
    head_line("training")
    for name, samples, change in variants:
        label = "base" if not change and samples is partial else name
        model, card = network(arguments, label, samples, 0, change)
        report = evaluate(model, test)
        error = mean(p["relative_error_mean"] for p in report["properties"].values())
        shots = Shots(network(arguments, "base", partial, 0, {})[1], arguments)
        note = f"test error {error:.2%}, pixel MAE {report['pixel_mae']:.3f}, {card.seconds:.0f} s"
        found = row(name, shoot(model, shots, arguments), note)
        rows.append({**found, "test_error": error, "pixel_mae": report["pixel_mae"], "seconds": card.seconds})
    return rows


def models(arguments):
    """The network to invert, its card, what it knows, and the ensemble it belongs to."""
    from janus_al import checkpoint, dataset

    if arguments.model is not None:
        model, card = checkpoint.load(arguments.model)
        return model, card, None, [model]
    partial, _, _ = datasets(arguments)
    found = [network(arguments, "base", partial, seed, {}) for seed in range(SEEDS)]
    assert isinstance(partial, dataset.Samples)
    return found[0][0], found[0][1], partial, [model for model, _ in found]


def ideas(arguments):
    """One thing of the inversion changed."""
    from janus_al.batches import swap, symmetry
    from janus_al.inversion import InversionConfig
    from janus_al.training import encode
    from simulators.layer import log_conductivity

    model, card, samples, ensemble = models(arguments)
    shots, default = Shots(card, arguments), InversionConfig()
    low, high = (math.log(k) for k in card.phase_conductivity)

    def ensembled(penalty):
        def make(model, shots, config):
            wanted = shots.wanted(model)

            def task(z, grey):
                seen = [picked(m, m.encode(binarised(grey)), shots) for m in ensemble]
                # In the scale of the first, which is that of the wanted values.
                logs = torch.stack(
                    [
                        (s * m.log_std[0] + m.log_mean[0] - model.log_mean[0]) / model.log_std[0]
                        for s, m in zip(seen, ensemble, strict=True)
                    ]
                )
                return (
                    (logs.mean(dim=0) - wanted) ** 2
                    + penalty * logs.var(dim=0)
                    + (picked(model, z, shots) - wanted) ** 2
                )

            return task

        return make

    def symmetrised(model, shots, config):
        wanted = shots.wanted(model)

        def task(z, grey):
            binary, seen = binarised(grey), []
            for bits in np.ndindex(2, 2, 2):
                turn = np.repeat(np.array(bits, bool)[:, None], len(z), axis=1)
                seen.append(swap(model.predict(model.encode(symmetry(binary, turn))), turn))
            k = torch.stack(seen).mean(dim=0).gather(1, shots.column[:, None]).squeeze(1)
            return (k - wanted) ** 2 + (picked(model, z, shots) - wanted) ** 2

        return task

    def sharpened(model, shots, config):
        wanted = shots.wanted(model)

        def task(z, grey):
            sharp = torch.sigmoid(4 * torch.logit(grey.clamp(1e-4, 1 - 1e-4)))
            return (picked(model, z, shots) - wanted) ** 2 + (picked(model, model.encode(sharp), shots) - wanted) ** 2

        return task

    def encodings(parts, nearest):
        def start(model, shots, noise, seed):
            z = encode(model, samples.image)
            rng = np.random.default_rng([seed, 4])
            if not nearest:
                chosen = z[rng.integers(len(z), size=(len(noise), parts))]
                weight = torch.tensor(rng.dirichlet(np.ones(parts), len(noise)), dtype=torch.float32)
                return (weight[:, :, None] * chosen).sum(dim=1)
            with torch.no_grad():
                k = model.predict(z)[:, shots.column]
            close = (k - shots.wanted(model)).abs().argsort(dim=0)[:20]
            return z[close[torch.tensor(rng.integers(20, size=len(noise))), torch.arange(len(noise))]]

        return start

    def by_physics(steps, rate):
        """Newton steps of least norm on the simulated log k of the decode, through the decoder."""

        def finish(z):
            log = torch.tensor(np.log(shots.value))
            for _ in range(steps):
                z = z.detach().requires_grad_()
                # The cut is passed straight through, so the value is that of the binary image.
                kappa = torch.exp(low + (high - low) * binarised(model.decode(z)).double())
                k = log_conductivity(kappa).gather(1, shots.column[:, None]).squeeze(1)
                (slope,) = torch.autograd.grad(k.sum(), z)
                gap = ((log - k) / (slope.double() ** 2).sum(dim=1)).detach().float()
                z = z + rate * gap[:, None] * slope
            return z.detach()

        return finish

    replace = dataclasses.replace
    rows = []
    head_line("inversion")
    plan = [
        ("as it is", {}, ""),
        ("head on z alone, no straight-through", {"config": replace(default, l_binary=0.0)}, ""),
        ("straight-through alone, no head on z", {"config": replace(default, l_task=0.0)}, ""),
        ("sharpened decode (4 x logits) instead of the cut", {"task": sharpened}, ""),
        ("no cycle terms", {"config": replace(default, l_cyc=0.0, l_deep=0.0)}, ""),
        ("no alignment", {"config": replace(default, l_align=0.0)}, ""),
        ("alignment 10 times stronger", {"config": replace(default, l_align=1.0)}, ""),
        ("task weights 10 times stronger", {"config": replace(default, l_task=10.0, l_binary=10.0)}, ""),
        ("head averaged over the 8 symmetric copies", {"task": symmetrised}, ""),
        ("1 Newton step by physics through the decoder", {"finish": by_physics(1, 1.0)}, "1 simulation more"),
        ("3 Newton steps by physics through the decoder", {"finish": by_physics(3, 1.0)}, "3 simulations more"),
    ]
    if samples is not None:
        plan += [
            ("from encodings of real samples", {"start": encodings(1, False)}, ""),
            ("from mixtures of 2 encodings", {"start": encodings(2, False)}, ""),
            ("from encodings with nearly the wanted k", {"start": encodings(1, True)}, ""),
        ]
    if len(ensemble) > 1:
        plan += [
            (f"{SEEDS} networks, their mean", {"task": ensembled(0.0)}, f"{SEEDS} trainings"),
            (f"{SEEDS} networks, variance penalty 1", {"task": ensembled(1.0)}, f"{SEEDS} trainings"),
            (f"{SEEDS} networks, variance penalty 10", {"task": ensembled(10.0)}, f"{SEEDS} trainings"),
        ]
    for name, change, note in plan:
        rows.append(row(name, shoot(model, shots, arguments, **change), note))
    if len(ensemble) > 1:
        rows.append(
            row("of 4 inversions that on which the networks agree", agreement(model, shots, ensemble, arguments))
        )
    return rows


def agreement(model, shots, ensemble, arguments):
    """Keep, of four inversions of each target, that on whose k the ensemble spreads least."""
    from janus_al.inversion import InversionConfig, descend

    config, wanted, began = InversionConfig(), shots.wanted(model), time.process_time()
    physics, own = [], []
    for seed in range(arguments.seeds):
        greys, spreads, misses = [], [], []
        for member in range(4):
            noise = np.random.default_rng([seed, 3, member]).standard_normal((len(wanted), model.config.latent))
            z = prior(model, shots, torch.tensor(noise, dtype=torch.float32), seed)
            z = descend(model, z, straight_through(model, shots, config), moments(model), config)
            with torch.no_grad():
                grey = model.decode(z)
                seen = [
                    picked(m, m.encode((grey > 0.5).float()), shots) * m.log_std[0] + m.log_mean[0] for m in ensemble
                ]
            greys.append(grey)
            spreads.append(torch.stack(seen).std(dim=0))
            misses.append((seen[0] - model.log_mean[0] - wanted * model.log_std[0]).abs())
        best = torch.stack(spreads).argmin(dim=0)
        rows = torch.arange(len(wanted))
        own.append(torch.stack(misses)[best, rows].numpy())
        physics.append(np.abs(shots.errors(torch.stack(greys)[best, rows])))
    seconds = (time.process_time() - began) / (len(wanted) * arguments.seeds)
    return np.concatenate(physics), seconds, np.concatenate(own)


def passes(arguments):
    """Adam, with and without a Gauss-Newton start, and L-BFGS, each with several numbers of passes."""
    from janus_al.inversion import InversionConfig

    model, card, _, _ = models(arguments)
    shots, default, rows = Shots(card, arguments), InversionConfig(), []

    def newton(model, shots, noise, seed):
        """Least-norm Gauss-Newton steps of the head alone, which need no decode."""
        z, wanted = prior(model, shots, noise, seed), shots.wanted(model)
        for _ in range(5):
            z = z.detach().requires_grad_()
            k = picked(model, z, shots)
            (slope,) = torch.autograd.grad(k.sum(), z)
            step = ((wanted - k) / (slope**2).sum(dim=1))[:, None] * slope
            z = z + step * (2 / step.norm(dim=1, keepdim=True)).clamp(max=1)
        return z.detach()

    head_line("descent")
    counts = (2,) if arguments.smoke else (5, 10, 20, 40, 80, 160)
    rates = (0.05,) if arguments.smoke else (0.05, 0.1, 0.2)
    for count in counts:
        tried = []
        for rate in rates:
            config = dataclasses.replace(default, steps=count, rate=rate)
            tried.append((shoot(model, shots, arguments, config=config), rate))
        best, rate = min(tried, key=lambda t: np.median(t[0][0]))
        rows.append({**row(f"Adam, {count} passes, rate {rate}", best), "passes": count, "rate": rate})
        config = dataclasses.replace(default, steps=count, rate=rate)
        found = shoot(model, shots, arguments, start=newton, config=config)
        name = f"Gauss-Newton start, then Adam, {count} passes, rate {rate}"
        rows.append({**row(name, found), "passes": count, "rate": rate})
        found = lbfgs(model, shots, arguments, count)
        rows.append({**row(f"L-BFGS, {count} passes", found), "passes": count})
    return rows


def lbfgs(model, shots, arguments, count):
    """The default's loss by L-BFGS, one member at a time as its line search wants, at most `count` evaluations."""
    from janus_al.inversion import InversionConfig

    config, wanted, began = InversionConfig(), shots.wanted(model), time.process_time()
    mean_, std = moments(model)
    physics, own = [], []
    for seed in range(arguments.seeds):
        noise = np.random.default_rng([seed, 3]).standard_normal((len(wanted), model.config.latent))
        z = prior(model, shots, torch.tensor(noise, dtype=torch.float32), seed)
        for member in range(len(z)):
            one = z[member : member + 1].detach().clone().requires_grad_()
            optimizer = torch.optim.LBFGS([one], max_iter=count, max_eval=count, line_search_fn="strong_wolfe")
            column, goal = shots.column[member], wanted[member]

            def closure(one=one, column=column, goal=goal, optimizer=optimizer):
                grey = model.decode(one)
                again = model.encode(grey)
                loss = (
                    (model.predict(one)[0, column] - goal) ** 2
                    + (model.predict(model.encode(binarised(grey)))[0, column] - goal) ** 2
                    + config.l_cyc * (one - again).abs().mean()
                    + config.l_deep * (grey - model.decode(again)).abs().mean()
                    + config.l_align * (((one - mean_) / std) ** 2).mean()
                )
                optimizer.zero_grad()
                (one.grad,) = torch.autograd.grad(loss, one)
                return loss

            optimizer.step(closure)
            with torch.no_grad():
                z[member] = one[0]
        with torch.no_grad():
            grey = model.decode(z)
            seen = picked(model, model.encode((grey > 0.5).float()), shots)
        own.append(((seen - wanted).abs() * model.log_std[0]).numpy())
        physics.append(np.abs(shots.errors(grey)))
    seconds = (time.process_time() - began) / (len(wanted) * arguments.seeds)
    return np.concatenate(physics), seconds, np.concatenate(own)


if __name__ == "__main__":
    main()
