"""Losses, symmetries, schedule, resume, warm start and what a small network can learn."""

import dataclasses
import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.ndimage import gaussian_filter

from janus_al import checkpoint, dataset, losses
from janus_al.batches import Symmetry, allowed, translate
from janus_al.evaluation import evaluate
from janus_al.fitting import Run, TrainingConfig, TrainingError, learning_rate
from janus_al.inversion import InversionConfig, descend
from janus_al.material import conduction
from janus_al.networks.janus import JanusConfig
from janus_al.samples import concatenate, unlabelled
from janus_al.training import build, encode, train
from simulators import Conductivity, DirectHomogenizer, generate, run

PERIODIC = ("kxx", "kyy", "kzz", "kxy", "kxz", "kyz")
SMALL = JanusConfig(size=16, latent=16, channels=4, rank=4)
KINDS = {
    "conv": SMALL,
    "media": dataclasses.replace(SMALL, media=2),
    "vit": dataclasses.replace(SMALL, architecture="vit"),
}
every = pytest.mark.parametrize("network", KINDS.values(), ids=KINDS.keys())
QUICK = TrainingConfig(steps=12, batch=8, simulated=4, cycled=4, checks=4)


@pytest.fixture(scope="module")
def samples():
    from loop.simulation.rows import to_samples

    images = generate(24, 16, 5)
    results = run(Conductivity("dirichlet", (0.1, 1.0)), list(images[:10]))
    simulated = to_samples(list(images[:10]), results, conduction((0.1, 1.0)))
    return concatenate([simulated, unlabelled(images[10:], conduction((0.1, 1.0)))])


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_sensitivity_loss_vanishes_for_the_exact_gradient():
    """For f(x) = sum(a x) the gradient is a: the loss is 0 against a and 1/4 against 2 a."""
    a = torch.rand(2, 6, 6, dtype=torch.float64)
    x = torch.rand(5, 6, 6, dtype=torch.float64, requires_grad=True)
    predicted = torch.einsum("nyx,pyx->np", x, a)
    weight = torch.randn(5, 2, dtype=torch.float64)
    exact = a.expand(5, 2, 6, 6)
    for pool in (1, 2):
        assert losses.sensitivity(predicted, x, exact, weight, pool).item() == pytest.approx(0, abs=1e-24)
        assert losses.sensitivity(predicted, x, 2 * exact, weight, pool).item() == pytest.approx(0.25)


@pytest.mark.parametrize("norm", ["bce", "l1", "l2"])
def test_reconstruction_of_certain_decodes(norm):
    x = torch.tensor([[[0.0, 1.0]]])
    assert losses.reconstruction(40 * (2 * x - 1), x, norm).item() == pytest.approx(0, abs=1e-12)
    expected = {"bce": np.log(2), "l1": 0.5, "l2": 0.25}[norm]
    assert losses.reconstruction(0 * x, x, norm).item() == pytest.approx(expected)


@pytest.mark.parametrize(("grid", "copies"), [((16, 16), 8), ((8, 8, 8), 48), ((8, 12, 8), 16)])
def test_symmetries_agree_with_physics(grid, copies):
    """Turning an image and turning its labels are the same as simulating the turned image."""
    image = (gaussian_filter(np.random.default_rng(9).standard_normal(grid), 1.5) > 0.05).astype(np.uint8)
    homogenizer, names = DirectHomogenizer(), ("kxx", "kyy", "kzz")[: len(grid)]
    original = homogenizer(image, (0.1, 1.0))
    orders, mirrors = allowed(grid, names)
    assert all(mirrors)
    turns = [(order, *bits) for order in range(len(orders)) for bits in np.ndindex(*[2] * len(grid))]
    order, *mirrored = np.array(turns).T
    turn = Symmetry(grid, names, np.array(mirrored, dtype=bool), order)
    images = turn.of_images(torch.tensor(image).expand(len(turns), *grid)).numpy()
    k = turn.of_properties(torch.tensor(original.k).expand(len(turns), -1)).numpy()
    maps = torch.tensor(original.sensitivity).expand(len(turns), -1, *grid)
    maps = turn.of_properties(turn.of_images(maps)).numpy()
    assert len({i.tobytes() for i in images}) == copies == len(turns)
    for row in range(0, copies, 5 if copies > 8 else 1):
        result = homogenizer(images[row], (0.1, 1.0))
        np.testing.assert_allclose(result.k, k[row], rtol=1e-9)
        np.testing.assert_allclose(result.sensitivity, maps[row], atol=1e-9)
    drawn = Symmetry.drawn(3000, grid, names, False, np.random.default_rng(0))
    counts = np.unique(np.stack([drawn.order, *drawn.mirrored]), axis=1, return_counts=True)[1]
    assert len(counts) == copies
    assert counts.max() < 2 * counts.min()


def test_learning_rate_cycle():
    config = TrainingConfig(steps=100, rate=1.0)
    rates = [learning_rate(step, config) for step in (0, 15, 57, 100)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[1] == pytest.approx(1.0)
    assert 0.4 < rates[2] < 0.6
    assert rates[3] == pytest.approx(1e-4)
    assert learning_rate(100, dataclasses.replace(config, average=50)) == pytest.approx(0.2)
    assert learning_rate(12, dataclasses.replace(config, steps=12, average=50)) == pytest.approx(1e-4), "too few steps"


def test_averaged_weights_are_the_running_mean_of_all_steps(samples):
    """Back over an eighth of the steps at most."""
    config = dataclasses.replace(QUICK, steps=32, average=100, validation=0.0, calibrate=False)
    model, steps = build(SMALL, 0), []
    train(samples, None, config, seed=0, run=Run(progress=lambda *_: steps.append(weights(model))), start=model)
    mean = steps[0]
    for after in steps[1:]:
        mean = mean + (after - mean) / 4
    assert len(steps) == 32
    torch.testing.assert_close(weights(model), mean, rtol=1e-5, atol=1e-7)
    assert (mean - steps[-1]).abs().max() > 1e-4, "the last weights are others"


@every
@pytest.mark.parametrize("average", [0, 3])
def test_interrupted_training_resumes_bit_exactly(samples, tmp_path, network, average):
    settings = dataclasses.replace(QUICK, average=average, steps=24 if average else QUICK.steps)
    whole, card = train(samples, network, settings, seed=3)
    state = tmp_path / "state.pt"

    class Killed(Exception):
        pass

    def kill(step, steps):
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        train(samples, network, settings, seed=3, run=Run(state=state, progress=kill))
    assert state.exists()
    with pytest.raises(TrainingError, match="another training run"):
        train(samples, network, settings, seed=4, run=Run(state=state))
    damaged = bytearray(state.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.pt").write_bytes(damaged)
    resumed, resumed_card = train(samples, network, settings, seed=3, run=Run(state=state))
    assert torch.equal(weights(whole), weights(resumed))
    assert [r["loss"] for r in card.history] == [r["loss"] for r in resumed_card.history]
    assert not state.exists()
    with pytest.warns(UserWarning, match=r"damaged\.pt: damaged, dropped; training begins again"):
        again, _ = train(samples, network, settings, seed=3, run=Run(state=tmp_path / "damaged.pt"))
    assert torch.equal(weights(whole), weights(again))


def test_seed_decides(samples):
    one, two = (train(samples, SMALL, QUICK, seed=s)[0] for s in (1, 2))
    assert not torch.equal(weights(one), weights(two))


@pytest.fixture(scope="module")
def learned(samples):
    """The simulated samples, and networks trained on them with and without sensitivities."""
    few = samples.take(np.flatnonzero(samples.simulated))
    network = JanusConfig(size=16, latent=16, channels=8, rank=8)
    config = TrainingConfig(steps=300, batch=10, simulated=10, cycled=2, validation=0.0, l_rec=1.0)
    models = [train(few, network, dataclasses.replace(config, l_sens=weight), seed=0)[0] for weight in (10.0, 0.0)]
    return few, *models


def test_learns_a_few_samples(learned):
    few, model, _ = learned
    report = evaluate(model, few)
    assert report["properties"]["kxx"]["r2"] > 0.9
    assert report["properties"]["kxx"]["relative_error_mean"] < 0.1


def test_sensitivities_shape_the_gradient(learned):
    """With l_sens the slope of the prediction follows the simulated one; without, it does not."""
    few, *models = learned
    truth = few.sensitivity[:, 0].astype(float) * np.log(10) / 256
    correlations = []
    for model in models:
        x = torch.tensor(few.image).float().requires_grad_()
        predicted = model.predict(model.encode(x))[:, 0].sum() * model.log_std[0]
        (slope,) = torch.autograd.grad(predicted, x)
        correlations.append(np.corrcoef(slope.numpy().ravel(), truth.ravel())[0, 1])
    assert correlations[0] > 0.6
    assert correlations[1] < 0.3


def test_vit_learns(samples):
    """Fifty steps bring the losses of Janus-ViT down."""
    config = dataclasses.replace(QUICK, steps=50, checks=50, rate=1e-3)
    _, card = train(samples, JanusConfig(architecture="vit", size=16, latent=16, channels=8, rank=8), config, seed=0)
    for name, part in (("task", 0.9), ("sens", 0.9), ("rec", 1.0)):
        first, last = (np.mean([row[name] for row in rows]) for rows in (card.history[:5], card.history[-5:]))
        assert last < part * first, name


def test_unlabelled_rows_never_enter_the_task(samples):
    garbage = dataclasses.replace(samples, properties=np.where(samples.simulated[:, None], samples.properties, 1e9))
    one, two = (train(s, SMALL, QUICK, seed=3)[0] for s in (samples, garbage))
    assert torch.equal(weights(one), weights(two))


def test_fresh_media_have_the_contrast_of_the_phases(samples):
    once = dataclasses.replace(QUICK, steps=1, rate=1e-12)
    model, _ = train(samples, KINDS["media"], once, seed=0)
    torch.testing.assert_close(model.encoder.start.flatten(), torch.full((4,), np.log(10) / 2, dtype=torch.float32))
    model.encoder.begin(0.0)
    assert model.encoder.start.min() > 1
    again, _ = train(samples, KINDS["media"], once, seed=0, start=build(KINDS["media"], 0))
    torch.testing.assert_close(again.encoder.start.flatten(), torch.full((4,), 2.3))


@every
def test_checkpoint_round_trip(samples, tmp_path, network):
    model, card = train(samples, network, QUICK, seed=0)
    checkpoint.save(tmp_path / "m", model, card)
    again, card_again = checkpoint.load(tmp_path / "m")
    assert card_again == card
    z = encode(model, samples.image)
    assert torch.equal(encode(again, samples.image), z)
    with torch.no_grad():
        assert torch.equal(again.predict(z), model.predict(z))
        assert torch.equal(again.decode(z), model.decode(z))
    torch.testing.assert_close(model.latent_mean, z.mean(dim=0))


def test_damaged_checkpoint_is_refused(samples, tmp_path):
    model, card = train(samples, SMALL, QUICK, seed=0)
    checkpoint.save(tmp_path, model, card)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(dataset.DatasetError, match="lost or damaged"):
        checkpoint.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no model here"):
        checkpoint.load(tmp_path / "none")


def described(**changes):
    """An edit of model.json: values by dotted name, `...` removes one."""

    def edit(folder):
        table = json.loads((folder / "model.json").read_text())
        for name, value in changes.items():
            *outer, last = name.split("__")
            inner = table
            for part in outer:
                inner = inner[int(part) if part.isdigit() else part]
            inner.pop(last, None)
            if value is not ...:
                inner[last] = value
        (folder / "model.json").write_text(json.dumps(table))

    return edit


def version_2(**changes):
    """An edit of model.json as version 2 has it: no material, but its conductivities and its boundary."""

    def edit(folder):
        card = json.loads((folder / "model.json").read_text())["card"]
        material = card["material"]
        former = {"phase_conductivity": material["physics"][0]["constants"]["conductivity"]}
        former |= {"boundary": material["boundary"], "material": ...}
        described(version=2, **{f"card__{name}": value for name, value in former.items()})(folder)
        described(**changes)(folder)

    return edit


def weighted(change):
    """An edit of the weights."""

    def edit(folder):
        arrays = load_file(folder / "weights.safetensors")
        change(arrays)
        save_file(arrays, folder / "weights.safetensors")

    return edit


def text(words):
    return lambda folder: (folder / "model.json").write_bytes(words)


PHYSICS = "card__material__physics__0__"
CONDUCTIVITY = PHYSICS + "constants__conductivity"

HOSTILE = {
    "size": (described(network__size=4096), r"network\.size: .*1024"),
    "vast latent": (described(network__latent=10**9), "damaged model"),
    "latent beyond count": (described(network__latent=10**30), "damaged model"),
    "latent 0": (described(network__latent=0), r"network\.latent: .*\(given: 0\)"),
    "rank -3": (described(network__rank=-3), r"network\.rank: .*\(given: -3\)"),
    "depth": (described(network__depth=10**6, network__architecture="vit"), r"network\.depth: .*64"),
    "other size": (described(network__size=1024), "a likeness that is not one of images of this network"),
    "other depth": (described(network__depth=64, network__architecture="vit"), "depth 64 but"),
    "no depth": (described(network__depth=None), r"network\.depth: .* \(given: None\)"),
    "channels NaN": (described(network__channels=float("nan")), "network.channels"),
    "size of text": (described(network__size="16"), "network.size"),
    "size of half": (described(network__size=16.5), "network.size"),
    "unknown network key": (described(network__breadth=3), "network.breadth"),
    "other properties": (
        described(network__properties=["E11", "E22"]),
        r"property_range of \['kxx', 'kyy'\] where the network predicts \['E11', 'E22'\]; restore it",
    ),
    "other properties and ranges": (
        described(network__properties=["E11", "E22"], card__property_range={"E11": [1, 2], "E22": [1, 2]}),
        "properties of 'E11', which its material does not have; restore it",
    ),
    "many properties": (
        described(network__properties=["x" * 100] * 1000),
        r"the network predicts \['x{58}; restore it",
    ),
    "a long property": (
        described(network__properties=["x" * 100, "kyy"], card__property_range={"x" * 100: [1, 2], "kyy": [1, 2]}),
        "properties of 'x{60}', which its material does not have",
    ),
    "no property": (described(network__properties=[]), "properties"),
    "unknown card key": (described(card__colour="red"), "card.colour"),
    "missing card key": (described(card__training=...), "card.training: Field required"),
    "no card": (described(card=...), "card: Field required"),
    "card null": (described(card=None), "card: .*given: None"),
    "no material": (described(card__material=...), "card.material: Field required"),
    "material null": (described(card__material=None), r"card\.material: .*given: None"),
    "no physics": (described(card__material__physics=...), r"card\.material\.physics: Field required"),
    "physics of none": (described(card__material__physics=[]), r"card\.material\.physics: .*given: \[\]"),
    "physics twice": (
        lambda folder: described(
            card__material__physics=2 * json.loads((folder / "model.json").read_text())["card"]["material"]["physics"]
        )(folder),
        r"card\.material: property kxx: two physics give it",
    ),
    "unknown physics key": (described(**{PHYSICS + "colour": "red"}), r"card\.material\.physics\[0\]\.colour"),
    "no simulator": (described(**{PHYSICS + "simulator": ...}), r"physics\[0\]\.simulator: Field required"),
    "properties lost": (
        described(**{PHYSICS + "properties": ["kxx"]}),
        "properties of 'kyy', which its material does not have",
    ),
    "unknown property": (described(**{PHYSICS + "properties": ["kxx", "kyy", "hard"]}), "property 'hard': known here"),
    "one conductivity": (described(**{CONDUCTIVITY: [1.0]}), "a material of 1 phases; a model has two"),
    "three conductivities": (described(**{CONDUCTIVITY: [1.0, 2.0, 3.0]}), "a material of 3 phases; a model has two"),
    "conductivity NaN": (
        described(**{CONDUCTIVITY: [float("nan"), 1.0]}),
        r"card\.material\.physics\[0\]\.constants\.conductivity.*\[0\]: .*given: nan",
    ),
    "conductivity 0": (
        described(**{CONDUCTIVITY: [0, 1.0]}),
        r"card\.material: conduction: conductivity \(0\.0, 1\.0\): give a number above 0",
    ),
    "conductivity null": (described(**{CONDUCTIVITY: None}), r"physics\[0\]\.constants\.conductivity.*given: None"),
    "no conductivity": (described(**{CONDUCTIVITY: ...}), "conductivity"),
    "boundary": (described(card__material__boundary="neumann"), r"card\.material\.boundary: .*given: 'neumann'"),
    "no boundary": (described(card__material__boundary=...), r"card\.material\.boundary: Field required"),
    "former card": (described(card__phase_conductivity=[0.1, 1.0]), "card.phase_conductivity: Unexpected"),
    "version 2: missing card key": (version_2(card__boundary=...), "card.*: Field required"),
    "version 2: unknown card key": (version_2(card__colour="red"), "card.colour"),
    "version 2: no card": (version_2(card=...), "card: Field required"),
    "version 2: card null": (version_2(card=None), "card: .*given: None"),
    "version 2: card of a list": (version_2(card=[]), r"card: .*given: \[\]"),
    "version 2: one conductivity": (
        version_2(card__phase_conductivity=[1.0]),
        "a material of 1 phases; a model has two",
    ),
    "version 2: no conductivity": (version_2(card__phase_conductivity=...), "card.*: Field required"),
    "version 2: conductivity NaN": (
        version_2(card__phase_conductivity=[float("nan"), 1.0]),
        r"conductivity.*\[0\]: .*given: nan",
    ),
    "version 2: conductivity 0": (
        version_2(card__phase_conductivity=[0, 1.0]),
        r"conductivity \(0\.0, 1\.0\): give a number above 0",
    ),
    "version 2: conductivity null": (version_2(card__phase_conductivity=None), "conductivity.*given: None"),
    "version 2: boundary": (version_2(card__boundary="neumann"), "boundary: .*given: 'neumann'"),
    "simulated": (described(card__simulated=10**40), "card.simulated"),
    "history": (described(card__history=[{"step": "one"}]), r"card\.history\[0\]\.step"),
    "no range": (described(card__property_range={}), "property_range of"),
    "range of three": (described(card__property_range={"kxx": [1, 2, 3], "kyy": [1, 2]}), "card.property_range.kxx"),
    "another version": (described(version=5), "not a 'janus-al model' of version 1 to 4"),
    "another format": (described(format="x"), "not a 'janus-al model'"),
    "no format": (described(format=...), "format: Field required"),
    "no object": (text(b"[]"), "damaged model"),
    "null": (text(b"null"), "damaged model"),
    "empty": (text(b""), "damaged model"),
    "no text": (text(b"\xff\xfe"), "damaged model"),
    "nested": (text(b"[" * 10**6), "damaged model"),
    "digits": (text(b"1" * 10**6), "damaged model"),
    "weights NaN": (weighted(lambda w: w["head.bias"].fill_(float("nan"))), "head.bias holds values"),
    "weights inf": (weighted(lambda w: w["encoder.1.weight"][0].fill_(float("inf"))), "holds values"),
    "no spread": (weighted(lambda w: w["log_std"].zero_()), "log_std holds values"),
    "weights missing": (weighted(lambda w: w.pop("log_mean")), "log_mean is None where"),
    "weights too many": (weighted(lambda w: w.update(more=torch.ones(3))), r"more is \('F32', \(3,\)\) where None"),
    "weights turned": (weighted(lambda w: w.update({"head.mix": w["head.mix"].T.contiguous()})), "head.mix is"),
    "weights of half": (weighted(lambda w: w.update(log_std=w["log_std"].half())), "log_std is .'F16'"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "lost or damaged"),
    "empty weights": (lambda folder: (folder / "weights.safetensors").write_bytes(b""), "damaged model"),
}


@pytest.fixture(scope="module")
def trained(samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    checkpoint.save(folder, *train(samples, SMALL, QUICK, seed=0))
    return folder


@pytest.mark.parametrize(("edit", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_checkpoint_is_refused(trained, tmp_path, edit, words):
    """In one sentence, and before anything is built that the weights do not fill."""
    shutil.copytree(trained, tmp_path / "m")
    edit(tmp_path / "m")
    names = ("weights.safetensors", "model.json")
    files = [tmp_path / "m" / name for name in names]
    sums = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.exists()}
    (tmp_path / "m" / checkpoint.SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    with pytest.raises(dataset.DatasetError, match=words) as caught:
        checkpoint.load(tmp_path / "m")
    assert str(caught.value).startswith(str(tmp_path / "m"))
    assert len(str(caught.value).splitlines()) == 1


def level(edit):
    """An edit of a model whose head has no tilt, as before version 4, and of its description."""

    def both(folder):
        edit(folder)
        weighted(lambda arrays: arrays.pop("tilt"))(folder)

    return both


@pytest.mark.parametrize(
    "edit",
    [described(), level(described(version=3)), level(version_2()), level(version_2(version=1))],
    ids=["4", "3", "2", "1"],
)
def test_every_version_is_read_alike(trained, tmp_path, edit):
    """Versions 1 and 2 say two conductivities and a boundary where 3 has a material; the checksums are new."""
    shutil.copytree(trained, tmp_path / "m")
    edit(tmp_path / "m")
    files = [tmp_path / "m" / name for name in ("weights.safetensors", "model.json")]
    sums = "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)
    (tmp_path / "m" / checkpoint.SUMS).write_text(sums)
    (model, card), (again, card_again) = checkpoint.load(trained), checkpoint.load(tmp_path / "m")
    assert card_again == card
    assert card.material == conduction((0.1, 1.0))
    assert again.config == model.config
    assert torch.equal(weights(again), weights(model))
    assert not model.tilt.any()
    assert torch.equal(again.tilt, model.tilt)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (checkpoint.SUMS, "of another model"),
        ("weights.safetensors", "lost or damaged"),
        ("model.json", "at most"),
    ],
)
def test_a_file_that_claims_a_terabyte_is_not_read(trained, tmp_path, name, words):
    shutil.copytree(trained, tmp_path / "m")
    sha256 = hashlib.sha256((trained / checkpoint.SUMS).read_bytes()).hexdigest()
    os.truncate(tmp_path / "m" / name, 2**40)
    with pytest.raises(dataset.DatasetError, match=words):
        checkpoint.load(tmp_path / "m", sha256=sha256)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.take(np.flatnonzero(~s.simulated)), "0 simulated samples"),
        (lambda s: dataclasses.replace(s, material=conduction((1.0, 2.0, 3.0))), "two-phase"),
    ],
)
def test_samples_that_cannot_train(samples, change, words):
    with pytest.raises(TrainingError, match=words):
        train(change(samples), SMALL, QUICK, seed=0)


def test_wrong_size_is_refused(samples):
    with pytest.raises(TrainingError, match="16 x 16 pixels: this network wants 32 x 32"):
        train(samples, JanusConfig(), QUICK, seed=0)


@pytest.mark.parametrize(("grid", "names"), [((16, 16), ("kxx", "kyy", "kxy")), ((8, 8, 12), PERIODIC)])
def test_every_translation_is_a_symmetry_of_the_periodic_cell(grid, names):
    image = (gaussian_filter(np.random.default_rng(9).standard_normal(grid), 1.5, mode="wrap") > 0).astype(np.uint8)
    homogenizer = DirectHomogenizer("periodic")
    original = homogenizer(image, (0.1, 1.0))
    columns = [original.names.index(name) for name in names]
    drawn = Symmetry.drawn(6, grid, names, True, np.random.default_rng(3))
    assert np.any(drawn.shift)
    images = drawn.of_images(torch.tensor(image[None]).expand(6, *grid)).numpy()
    k = drawn.of_properties(torch.tensor(original.k[None, columns]).expand(6, -1)).numpy()
    maps = torch.tensor(original.sensitivity[None, columns]).expand(6, -1, *grid)
    maps = drawn.of_properties(drawn.of_images(maps)).numpy()
    assert len({i.tobytes() for i in images}) == 6
    for row, turned in enumerate(images):
        result = homogenizer(turned, (0.1, 1.0))
        np.testing.assert_allclose(result.k[columns], k[row], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(result.sensitivity[columns], maps[row], atol=1e-7)
    assert len({k[-1] > 0 for k in k}) == 2
    assert Symmetry.drawn(6, grid, names, False, np.random.default_rng(3)).shift is None


def test_translate_rolls_each_image_by_its_own_shift():
    x, shift = torch.rand(3, 2, 8, 8), np.array([[1, 2, 3], [4, 0, -2]])
    for image, moved, down, right in zip(x, translate(x, shift), *shift.tolist(), strict=True):
        assert torch.equal(moved, image.roll((down, right), (-2, -1)))


def test_half_precision_learns(samples):
    few = samples.take(np.flatnonzero(samples.simulated))
    config = dataclasses.replace(QUICK, steps=6, precision="bfloat16")
    model, card = train(few, SMALL, config, seed=0)
    exact, _ = train(few, SMALL, dataclasses.replace(config, precision="float32"), seed=0)
    assert weights(model).dtype == torch.float32
    assert not torch.equal(weights(model), weights(exact))
    torch.testing.assert_close(weights(model), weights(exact), atol=0.02, rtol=0.1)
    assert all(np.isfinite(row["loss"]) for row in card.history)
    with pytest.raises(ValueError, match="precision 'float16'"):
        TrainingConfig(precision="float16")


def test_a_pass_moves_by_the_rate_in_units_of_the_latent_spread():
    """Adam's first step is its rate along every coordinate, whatever the gradient: here 0.2 standard deviations."""
    model = build(SMALL, 0)
    torch.manual_seed(0)
    mean, std = torch.randn(SMALL.latent), torch.rand(SMALL.latent) + 0.1
    start = torch.randn(3, SMALL.latent)
    config = InversionConfig(steps=1, rate=0.2, l_cyc=0.0, l_deep=0.0, l_align=0.0)
    end = descend(model, start, lambda z, grey: (z**2).sum(dim=1), (mean, std), config)
    torch.testing.assert_close(end, start - 0.2 * std * start.sign(), atol=1e-5, rtol=1e-4)


def test_lbfgs_minimises_each_of_many_quadratics():
    """Each with its own curvature: within 40 passes, where steepest descent needs hundreds."""
    from janus_al.lbfgs import lbfgs

    rng = torch.Generator().manual_seed(0)
    curve = 10 ** (3 * torch.rand((5, 6), generator=rng, dtype=torch.float64))
    goal = torch.randn((5, 6), generator=rng, dtype=torch.float64)
    passes = []

    def evaluate(x):
        passes.append(len(x))
        return (0.5 * curve * (x - goal) ** 2).sum(dim=1), curve * (x - goal)

    found = lbfgs(evaluate, torch.zeros_like(goal), 40)
    assert passes == [5] * 40
    torch.testing.assert_close(found, goal, atol=1e-3, rtol=0)
    alone = lbfgs(
        lambda x: ((0.5 * curve[:1] * (x - goal[:1]) ** 2).sum(dim=1), curve[:1] * (x - goal[:1])), 0 * goal[:1], 40
    )
    torch.testing.assert_close(found[:1], alone)
