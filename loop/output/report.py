"""The report: one self-contained HTML file made from what a campaign recorded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from janus_al.files import atomic_path
from janus_al.likeness import Likeness
from janus_al.material import Material
from janus_al.properties import orbits
from janus_al.samples import Samples
from loop.campaign.campaign import Campaign
from loop.design.targets import Target
from loop.output import fronts, turntable, volumes
from loop.output.intervals import Asked, asked
from loop.output.latent_map import plane
from loop.output.lessons import coverage_sentence, learning_sentence, taught
from loop.output.likeness import drawing
from loop.output.marks import directions, scale_bar
from loop.output.misses import near_misses
from loop.output.pages import page
from loop.output.pictures import chart, embed, small
from loop.output.projections import designs_of, status

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
"""Okabe and Ito's palette, told apart with every kind of colour vision"""


def write_report(campaign: Campaign, umap: bool = True) -> Path:
    """Write `report.html`; `umap = False` leaves out the latent map."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 140})
    rounds = campaign.journal.of("round")
    samples = campaign.ledger.samples()
    designs = designs_of(campaign)
    dim = (designs[0]["image"] if designs else samples.image[0]).ndim
    latent, reconstructions = _from_model(campaign, samples, [d["image"] for d in designs], umap)
    material, pixel = campaign.material, campaign.config.microstructure.pixel
    written = page(
        "report.html.j2",
        name=campaign.config.name,
        config=campaign.config,
        material=material,
        dim=dim,
        status=status(campaign.folder, running=False),
        rounds=rounds,
        designs=[
            {
                **d,
                **_shown(d["image"], material, pixel, campaign.models.likeness),
                "asked": _asked(campaign, d, material),
            }
            for d in designs
        ],
        misses={
            name: ([(m, embed(small(m.image, material))) for m in nearest], more)
            for name, (nearest, more) in near_misses(campaign).items()
        },
        directions=directions(material),
        scale=scale_bar(pixel, campaign.config.microstructure.grid[-1]),
        turntable=turntable.page(
            {d["name"]: volumes.Volume.of(d["image"], material, pixel) for d in designs if d["image"].ndim == 3}
        ),
        sure=sum(d["verdict"] == "confirmed by interval" for d in designs),
        foretold=coverage_sentence([r.get("coverage") for r in rounds]),
        learning=learning_sentence([r["probe_error_median"] for r in rounds]),
        trained=campaign.journal.of("trained"),
        taught=taught(rounds, campaign.journal.of("trained")),
        agreement=_agreement(rounds, campaign.material.simulated, dim) if rounds else None,
        progress=_progress(rounds) if rounds else None,
        latent=latent,
        fronts=None if (drawn := _fronts(samples, designs, campaign.targets)) is None else chart(drawn),
        reconstructions=reconstructions,
        samples={"all": len(samples), "simulated": int(samples.simulated.sum()), "digest": samples.digest()[:16]},
        solver=next(
            (f"{d['solver']['name']} {d['solver']['version']}" for d in designs), campaign.config.execution.solver
        ),
    )
    path = campaign.folder / "report.html"
    with atomic_path(path) as temporary:
        temporary.write_text(written, encoding="utf-8")
    return path


def _asked(campaign: Campaign, design: dict[str, Any], material: Material) -> list[Asked]:
    target = next(t for t in campaign.targets if t.name == design["target"]["name"])
    return asked(
        target, design["properties"], (design.get("certificate") or {"properties": {}})["properties"], material
    )


def _shown(image: NDArray[np.integer], material: Material, pixel: str, likeness: Likeness | None) -> dict[str, Any]:
    """What the page shows of an image: a picture, of a volume a block cut open and slices, too, and its curves."""
    curves = None if likeness is None else drawing(likeness, image)
    if image.ndim == 2:
        return {"picture": embed(small(image, material)), "curves": curves}
    volume = volumes.Volume.of(image, material, pixel)
    views = {
        name: embed(volumes.png(draw(volume))) for name, draw in (("picture", volumes.render), ("block", volumes.block))
    }
    return {**views, "slices": embed(volumes.slices(volume)), "curves": curves}


def _agreement(rounds: Sequence[dict[str, Any]], names: Sequence[str], dim: int) -> str:
    """Predicted against simulated properties of every first shot; what turns into each other shares its axes."""
    import matplotlib.pyplot as plt

    groups = [[names[i] for i in group] for group, _ in orbits(names, dim)]
    figure, axes = plt.subplots(
        1, len(groups), figsize=(4.2 * len(groups) + 0.8, 3.8), squeeze=False, layout="constrained"
    )
    for axis, group in zip(axes[0], groups, strict=True):
        values = [np.empty((0, 2))]
        for index, event in enumerate(rounds):
            pairs = [
                [row["predicted"][n], row["first_shot"][n]]
                for row in event["candidates_table"]
                for n in group
                if n in row["predicted"] and n in row["first_shot"]
            ]
            values.append(np.array(pairs).reshape(-1, 2))
            colour = COLOURS[index % len(COLOURS)]
            axis.plot(*values[-1].T, "o", ms=3.5, alpha=0.7, color=colour, mec="none", label=f"round {event['round']}")
        if (every := np.concatenate(values)).size:
            ends = [every.min(), every.max()]
            axis.plot(ends, ends, "-", lw=0.8, color="0.5", zorder=0)
        words = ", ".join(group)
        axis.set(xlabel=f"{words} predicted by the network", ylabel=f"{words} simulated")
    _legend_beside(axes[0][-1])
    return chart(figure)


def _legend_beside(axis: Any) -> None:
    axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _fronts(samples: Samples, designs: Sequence[dict[str, Any]], targets: Sequence[Target]) -> Any:
    wanted = {name for target in targets for name in target.properties}
    return fronts.figure(samples, [(d["target"]["name"], d["properties"]) for d in designs], wanted)


def _progress(rounds: Sequence[dict[str, Any]]) -> str:
    """Error, hits and simulations, round by round."""
    import matplotlib.pyplot as plt

    numbers = [r["round"] for r in rounds]
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 2.7), layout="constrained")
    for index, event in enumerate(rounds):
        errors = [
            100 * r["error"] for r in event["candidates_table"] if r["target"] == "probe" and r["error"] is not None
        ]
        axes[0].plot(np.full(len(errors), event["round"]), errors, "_", ms=10, color=COLOURS[index % 7], alpha=0.6)
    medians = [np.nan if r["probe_error_median"] is None else 100 * r["probe_error_median"] for r in rounds]
    axes[0].plot(numbers, medians, "ko-", ms=4, label="median")
    axes[0].set(title="first-shot error at the probes, %", yscale="log")
    for ticks in (axes[0].yaxis.set_major_formatter, axes[0].yaxis.set_minor_formatter):
        ticks("{x:g}")
    _legend_beside(axes[0])
    axes[1].bar(numbers, [r["candidates"] for r in rounds], color="0.85", label="candidates")
    met = [sum(r["met"] and r["target"] != "probe" for r in event["candidates_table"]) for event in rounds]
    axes[1].bar(numbers, met, color=COLOURS[2], width=0.6, label="met, refined")
    axes[1].bar(numbers, [r["hits"] for r in rounds], color=COLOURS[0], width=0.4, label="met at first shot")
    axes[1].set(title="candidates for targets")
    _legend_beside(axes[1])
    axes[2].plot(numbers, [r["spent"] for r in rounds], "ko-", ms=4)
    axes[2].set(title="simulations spent", ylim=(0, None))
    for axis in axes:
        axis.set_xticks(numbers)
        axis.set_xlabel("round")
    return chart(figure)


def _from_model(
    campaign: Campaign, samples: Samples, designs: list[NDArray[np.uint8]], umap: bool
) -> tuple[str | None, list[dict[str, Any]]]:
    """The latent map and some reconstructions by the last model; nothing before there is one."""
    trained = campaign.journal.of("trained")
    if not trained:
        return None, []
    import torch

    from janus_al.training import encode

    model, _ = campaign.models.of(trained[-1]["round"])
    chosen = samples.image[np.linspace(0, len(samples) - 1, min(6, len(samples))).astype(int)]
    with torch.no_grad():
        decoded = model.decode(encode(model, chosen)).numpy()
    pictures = [
        {
            "original": embed(small(image, campaign.material)),
            "decoded": embed(small((grey > 0.5).astype(np.uint8), campaign.material)),
            "wrong": float(((grey > 0.5) != (image > 0)).mean()),
        }
        for image, grey in zip(chosen, decoded, strict=True)
    ]
    if not umap or len(samples) < 20:
        return None, pictures
    rows = np.concatenate([samples.image, np.stack(designs)]) if designs else samples.image
    return _latent_map(encode(model, rows).numpy(), samples, len(designs)), pictures


def _latent_map(z: NDArray[np.float32], samples: Samples, designs: int) -> str:
    import matplotlib.pyplot as plt

    flat = plane(z)
    known, count = samples.simulated, len(samples)
    figure, axis = plt.subplots(figsize=(5.4, 4.2))
    axis.plot(*flat[:count][~known].T, ".", ms=2, color="0.8", label="not simulated")
    name = samples.material.simulated[0]
    k = samples.column(name)[known]
    x, y = flat[:count][known].T
    dots = axis.scatter(x, y, c=k, s=14, cmap="viridis", label="simulated")
    axis.plot(*flat[count:].T, "*", ms=9, mfc="none", mec="#d55e00", label="designs" if designs else None)
    figure.colorbar(dots, label=name)
    axis.set(xticks=[], yticks=[])
    axis.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3)
    return chart(figure)
