"""Both architectures: any side, second derivatives, and what circular padding is for."""

from math import prod

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.fft import dctn

from janus_al.networks.convolutional import Double, Fold, Layout, Unfold, decoder, encoder
from janus_al.networks.grids import Coarsening
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.networks.media import START, conductance
from janus_al.networks.waves import Waves
from simulators import DirectHomogenizer

PLANES = {
    "conv": {"architecture": "conv"},
    "media": {"architecture": "conv", "media": 2},
    "wide": {"media": 1, "width": 7},
    "vit": {"architecture": "vit"},
    "waves": {"waves": 16},
}
VOLUMES = {"volume": {"dim": 3}, "volume-media": {"dim": 3, "media": 1, "waves": 30}}
NETWORKS = {**PLANES, **VOLUMES}
networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())


def build(**settings):
    torch.manual_seed(0)
    return Janus(JanusConfig(**{"size": 16, "latent": 6, "channels": 4, "rank": 3, **settings}))


@networks
@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize("size", [16, 24, [16, 40], 8, 21, [20, 30]])
@pytest.mark.parametrize("stem", [2, 4])
def test_any_sides(network, padding, size, stem):
    size = [*size, 18] if isinstance(size, list) and network.get("dim") == 3 else size
    model = build(**network, padding=padding, size=size, stem=stem)
    grid = model.config.grid
    z = model.encode(torch.rand(2, *grid))
    assert z.shape == (2, model.config.latents)
    assert model.config.latents == 6 + network.get("waves", 0)
    assert model.decode(z).shape == (2, *grid)
    assert model.predict(z).shape == (2, len(grid))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 7}, "size 7: the network wants sides of at least 8"),
        ({"architecture": "mlp"}, "architecture 'mlp': it must be conv or vit"),
        ({"padding": "reflect"}, "padding 'reflect': it must be zeros or circular"),
        ({"stem": 3}, "stem 3: it must be 2 or 4"),
        ({"latent": 4, "media": 2}, "latent 4: 2 media take 4 of them"),
        ({"latent": 6, "media": 2, "dim": 3}, "latent 6: 2 media take 6 of them"),
        ({"dim": 4}, "dim 4: it must be 2 or 3"),
        ({"size": [32, 6]}, r"size \(32, 6\): .* sides of at least 8"),
        ({"size": [16, 32, 32]}, "3 sides of an image of dim 2"),
        ({"size": 2048}, "size 2048: it must be at most 1024"),
        ({"size": True}, "size True: it must be a whole number, or a list of them"),
        ({"architecture": "vit", "dim": 3}, "architecture vit is of planes"),
    ],
)
def test_networks_that_cannot_be_built(change, words):
    with pytest.raises(ValueError, match=words):
        JanusConfig(**change)


@pytest.mark.parametrize(("stem", "dim", "own"), [(2, 2, 4), (4, 2, 8), (2, 3, 8), (4, 3, 8)])
@pytest.mark.parametrize("media", [0, 1])
def test_what_comes_before_media_is_as_wide_as_asked(stem, dim, own, media):
    """And nothing else: not the decoder, nor what follows the media."""
    usual, same, wide = (build(stem=stem, dim=dim, media=media, width=width) for width in (0, own, 3))
    assert all(torch.equal(a, b) for a, b in zip(usual.parameters(), same.parameters(), strict=True))
    changed = {
        name: (tuple(weight.shape), tuple(other.shape))
        for (name, weight), other in zip(usual.named_parameters(), wide.parameters(), strict=True)
        if weight.shape != other.shape
    }
    assert all(name.startswith("encoder") for name in changed)
    weights = [shapes for shapes in changed.values() if len(shapes[0]) > 1]
    blocks = 2**dim
    assert [narrow[:2] for _, narrow in weights][:2] == [(3, weights[0][0][1]), (3, 3)]
    assert {narrow[1] for _, narrow in weights[2:]} == ({3, blocks * 3} if media else {blocks * 3})


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("grid", [(9, 20), (8, 18, 21)])
def test_sides_that_8_does_not_divide_go_on_as_the_boundary_has_it(grid, circular):
    """Mirrored in their far faces, or repeated; as NumPy pads."""
    layout, x = Layout(grid, 4, 2, circular), torch.rand(2, *grid)
    more = [(0, whole - side) for side, whole in zip(grid, (16, 24, 24)[: len(grid)], strict=True)]
    padded = layout.pad(x)
    assert np.array_equal(padded, np.pad(x.numpy(), [(0, 0), *more], mode="wrap" if circular else "symmetric"))
    assert torch.equal(layout.crop(padded), x)
    whole = torch.rand(2, *(16,) * len(grid))
    assert Layout((16,) * len(grid), 4, 2, circular).pad(whole) is whole


@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize("network", [PLANES["conv"], PLANES["vit"], VOLUMES["volume"]], ids=["conv", "vit", "volume"])
def test_an_image_continued_is_one_image_to_the_network(network, padding):
    """Of the next side that 8 divides: its latent vector, its decode cropped; a pixel counts as often as it stands."""
    dim = network.get("dim", 2)
    whole, part = (build(**network, padding=padding, size=size).double() for size in (24, [20, 21, 17][:dim]))
    part.load_state_dict(whole.state_dict())
    x = torch.rand(2, *part.config.grid, dtype=torch.float64, requires_grad=True)
    more = [(0, 24 - side) for side in part.config.grid]
    mode = "wrap" if padding == "circular" else "symmetric"
    y = torch.tensor(np.pad(x.detach().numpy(), [(0, 0), *more], mode=mode), requires_grad=True)
    z, same = part.encode(x), whole.encode(y)
    torch.testing.assert_close(z, same)
    torch.testing.assert_close(part.decode(z), whole.decode(z)[(..., *map(slice, part.config.grid))])
    (slope,), (slopes,) = (torch.autograd.grad(v.sum(), i) for v, i in ((part.predict(z), x), (whole.predict(same), y)))
    places = np.pad(np.arange(slope[0].numel()).reshape(slope.shape[1:]), more, mode=mode)
    for found, each in zip(slope, slopes, strict=True):
        expected = torch.zeros(found.numel(), dtype=torch.float64)
        expected.index_add_(0, torch.tensor(places.ravel()), each.flatten())
        torch.testing.assert_close(found.flatten(), expected)


@networks
def test_second_derivatives(network):
    """The sensitivity loss is a function of d P(E(x)) / dx: its gradient must be that of finite differences."""
    model = build(**network, size=[17, 20, 16][: network.get("dim", 2)]).double()
    x = torch.rand(2, *model.config.grid, dtype=torch.float64, requires_grad=True)

    def predicted(x):
        return model.predict(model.encode(x)).sum()

    assert torch.autograd.gradcheck(predicted, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(predicted, x, fast_mode=True)
    (slope,) = torch.autograd.grad(predicted(x), x, create_graph=True)
    slope.square().sum().backward()
    for name, parameter in model.encoder.named_parameters():
        assert parameter.grad is not None, name
        # A bias at the end of the encoder moves z by a constant, and so the slope, through the head.
        assert parameter.grad.abs().max() > 0, name


@networks
def test_images_are_told_apart(network):
    """Neither a pixel nor its place is lost on the way to z."""
    model = build(**network).double()
    x = torch.zeros(3, *model.config.grid, dtype=torch.float64)
    x[1, ..., 2, 3] = x[2, ..., 12, 9] = 1
    z = model.encode(x)
    assert (z[0] - z[1]).abs().max() > 1e-6
    assert (z[1] - z[2]).abs().max() > 1e-6


@pytest.mark.parametrize("stem", [2, 4])
@pytest.mark.parametrize("grid", [(24, 24), (16, 24, 24)])
def test_circular_padding_commutes_with_translation(stem, grid):
    """Up to the layers that see positions, a shift by 8 pixels is a shift by one of the coarsest cells."""
    torch.manual_seed(0)
    x = torch.rand(2, 1, *grid)
    for circular in (True, False):
        layout = Layout(grid, 4, stem, circular)
        body = encoder(layout, 5)[:-2]
        back = decoder(layout, 5)[2:]
        coarse = body(x)
        moved = body(x.roll((8, 16), (-2, -1)))
        same = [torch.allclose(moved, coarse.roll((1, 2), (-2, -1)), atol=1e-5)]
        same.append(
            torch.allclose(back(coarse.roll((1, 2), (-2, -1))), back(coarse).roll((8, 16), (-2, -1)), atol=1e-5)
        )
        assert same == [circular, circular]


@pytest.mark.parametrize(("dim", "shape"), [(2, (2, 3, 8, 12)), (3, (2, 3, 8, 12, 4))])
def test_folding_moves_every_pixel_of_a_block_to_a_channel(dim, shape):
    x = torch.arange(float(prod(shape))).reshape(shape)
    folded = Fold(4, dim)(x)
    assert folded.shape == (2, 3 * 4**dim, *(side // 4 for side in shape[2:]))
    assert torch.equal(Unfold(4, dim)(folded), x)
    block = x[1, 2][(slice(4, 8), slice(8, 12), slice(0, 4))[:dim]]
    place = (1, 2, 0)[:dim]
    assert torch.equal(folded[(1, slice(2 * 4**dim, None), *place)], block.flatten())


def test_fresh_networks_of_volumes_keep_signals_and_think_smoothly():
    """Features of smooth images are of the order of 1, and no pixel of a block weighs more than another."""
    torch.manual_seed(0)
    x = (F.interpolate(torch.randn(4, 1, 4, 4, 4), scale_factor=8, mode="trilinear") > 0).float() * 2 - 1
    features = encoder(Layout((32, 32, 32), 16, 2, False), 64)[:-2](x)
    assert 0.1 < features.std() < 3
    first = encoder(Layout((32, 32, 32), 16, 2, False), 64)[1].weight
    assert torch.equal(first, first[:, :1].expand_as(first))


@pytest.mark.parametrize("grid", [(16, 24), (8, 16, 12)])
def test_amplitudes_of_waves_are_those_of_the_cosine_transform(grid):
    """The longest are kept, and what they add up to has them and no others: it is the nearest image that has."""
    waves, x = Waves(grid, 20), torch.randn(3, *grid, dtype=torch.float64)
    transform = dctn(x.numpy(), axes=tuple(range(1, 1 + len(grid))), norm="ortho").reshape(3, -1)
    length = sum((k / side) ** 2 for k, side in zip(np.indices(grid), grid, strict=True)).ravel()
    kept = np.argsort(length, kind="stable")[:20]
    found = waves.amplitudes(x)
    np.testing.assert_allclose(found, transform[:, kept] * (20 / prod(grid)) ** 0.5, atol=1e-12)
    field = waves.field(found)
    torch.testing.assert_close(waves.amplitudes(field), found)
    assert ((x - field) * field).sum().item() == pytest.approx(0, abs=1e-9)


def test_a_fresh_decoder_of_waves_draws_coarse_patterns():
    """Without any training, where a fresh decoder without them draws nothing."""
    noise = torch.randn(8, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    x = (F.interpolate(noise, scale_factor=6, mode="trilinear") > 0).float()[:, 0]
    wrong = []
    for waves in (0, 128):
        model = build(dim=3, size=24, waves=waves)
        wrong.append(((model.decode(model.encode(x)) > 0.5) != (x > 0.5)).float().mean().item())
    assert wrong[0] > 0.3
    assert wrong[1] < 0.06


def test_doubling_is_bilinear():
    ramp = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1, 1, 4, 4)
    inside = Double(circular=False)(ramp)[0, 0, 0]
    torch.testing.assert_close(inside, torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]))
    around = Double(circular=True)(ramp)[0, 0, 0]
    torch.testing.assert_close(around, torch.tensor([0.75, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 2.25]))


@pytest.mark.parametrize("circular", [False, True])
def test_media_conduct_as_a_solve_of_all_cells_says(circular):
    """Laminates by their means; any grid by one dense solve."""
    along = torch.tensor([1.0, 4.0, 2.0]).expand(1, 2, 3)
    torch.testing.assert_close(conductance(along, along, circular=circular), torch.tensor([3 / (1 + 1 / 4 + 1 / 2)]))
    torch.testing.assert_close(conductance(along.mT, along.mT, circular=circular), torch.tensor([7 / 3]))
    torch.manual_seed(0)
    along, aside = torch.rand(2, 4, 5, dtype=torch.float64).exp() ** 4
    number = torch.arange(20).reshape(4, 5)
    matrix, source = torch.zeros(20, 20, dtype=torch.float64), torch.zeros(20, dtype=torch.float64)

    def join(i, j, k):
        matrix[i, i] += k
        matrix[j, j] += k
        matrix[i, j] -= k
        matrix[j, i] -= k

    for row in range(4):
        for column in range(5):
            i, below = (row, column), ((row + 1) % 4, column)
            if column < 4:
                join(number[i], number[row, column + 1], 2 / (1 / along[i] + 1 / along[row, column + 1]))
            if row < 3 or circular:
                join(number[i], number[below], 2 / (1 / aside[i] + 1 / aside[below]))
        matrix[number[row, 0], number[row, 0]] += 2 * along[row, 0]
        matrix[number[row, 4], number[row, 4]] += 2 * along[row, 4]
        source[number[row, 4]] = 2 * along[row, 4]
    temperature = torch.linalg.solve(matrix, source)[number]
    flux = (2 * along[:, 0] * temperature[:, 0]).sum() * 5 / 4
    torch.testing.assert_close(conductance(along[None], aside[None], circular=circular), flux[None])


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("grid", [(3, 4), (1, 3), (2, 3, 2)])
def test_what_media_conduct_has_exact_derivatives_twice(grid, circular):
    torch.manual_seed(2)
    fields = [(1.5 * torch.randn(2, *grid, dtype=torch.float64)).exp().requires_grad_() for _ in grid]

    def conducts(*fields):
        return conductance(*fields, circular=circular)

    assert torch.autograd.gradcheck(conducts, fields)
    assert torch.autograd.gradgradcheck(conducts, fields)


def test_media_of_volumes_conduct_as_finite_volumes_do():
    """Cells of one conductor, between fixed faces: what the simulator's finite volumes say, along each axis."""
    image = np.random.default_rng(0).integers(2, size=(4, 5, 6))
    conductor = torch.tensor(np.where(image, 1.0, 0.1))
    ways = [conductor.transpose(-1, -axis) for axis in (1, 2, 3)]
    found = [conductance(way, way, way, circular=False) for way in ways]
    assert found == pytest.approx(DirectHomogenizer()(image.astype(np.uint8), (0.1, 1.0)).k_fv)


@pytest.mark.parametrize("dim", [2, 3])
def test_fresh_media_and_a_fresh_head_say_nearly_what_conducts(dim):
    model, grid, media = build(latent=8, media=2, dim=dim), (16,) * dim, 2 * dim
    x = F.interpolate(torch.rand(64, 1, *[4] * dim).round(), scale_factor=4)[:, 0]
    z = model.encode(x)
    said = model.predict(z)
    curved = said - model.head.linear(z[:, :media])
    assert curved.std(dim=0).max() < 0.3 * said.std(dim=0).min()
    model.encoder.local.weight.data.zero_()
    model.encoder.local.bias.data.zero_()
    for label, conducts in ((1.0, START), (0.0, -START)):
        z = model.encode(torch.full((1, *grid), label))
        torch.testing.assert_close(z[0, :media], torch.full((media,), conducts))


@pytest.mark.parametrize(("size", "thick"), [(16, 8), (20, 12)])
def test_a_fresh_head_of_volumes_says_what_its_media_conduct(size, thick):
    """Layers as thick as the cells of the media: the harmonic mean across, the arithmetic along, in their units.

    What an image is continued by, where 8 does not divide its sides, is none of it.
    """
    model = build(dim=3, media=2, latent=8, size=size)
    model.log_mean[:], model.log_std[:] = torch.tensor([-1.0, -0.9, -0.8]), torch.tensor([0.3, 0.4, 0.5])
    model.encoder.begin(np.log(10))
    model.trust_media([np.log(0.1) / 2] * 3)
    x = torch.zeros(1, size, size, size)
    x[..., :thick] = 1
    torch.nn.init.zeros_(model.head.mix)
    part = thick / size
    across, along = 1 / (part + (1 - part) / 0.1), part + (1 - part) * 0.1
    torch.testing.assert_close(model.values(model.encode(x)), torch.tensor([[across, along, along]]))


def test_waves_are_counted_on_the_images_grid():
    """Whose sides are known when a network is suited to them, not when it is asked for."""
    config = JanusConfig(waves=300)
    assert config.suited_to((64, 64), "dirichlet").waves == 300
    assert config.suited_to((16, 16, 24), "dirichlet", ("kxx", "kyy", "kzz")).waves == 300
    with pytest.raises(ValueError, match="waves 300: at most 256 of them fit"):
        config.suited_to((32, 32), "dirichlet")


@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize(("grid", "block"), [((10, 12), 4), ((9, 8, 6), 3)])
def test_coarsening_takes_means_and_draws_between_them(grid, block, circular):
    """Means of blocks of the image as its boundary has it go on; the way back is linear, and keeps a straight slope."""
    way, x = Coarsening(grid, block, circular), torch.rand(2, *grid)
    more = [(0, -side % block) for side in grid]
    whole = np.pad(x.numpy(), [(0, 0), *more], mode="wrap" if circular else "symmetric")
    split = whole.reshape(2, *(n for side in way.coarse for n in (side, block)))
    expected = split.mean(axis=tuple(range(2, split.ndim, 2)))
    np.testing.assert_allclose(way.means(x), expected, atol=1e-6)
    middles = torch.arange(way.coarse[-1]) * block + (block - 1) / 2
    between = way.between(middles.expand(2, *way.coarse))
    assert between.shape == x.shape
    inner = slice(block // 2, int(middles[-1]))
    torch.testing.assert_close(between[..., inner], torch.arange(float(grid[-1]))[inner].expand_as(between[..., inner]))
    if circular and grid[-1] % block == 0:
        rolled = way.between(way.means(x).roll(1, -1))
        torch.testing.assert_close(rolled, way.between(way.means(x)).roll(block, -1))
    assert Coarsening(grid, 1, circular).means(x) is x


@networks
@pytest.mark.parametrize("padding", ["zeros", "circular"])
def test_an_enlarged_network_is_the_same_of_larger_images(network, padding):
    """It thinks of an image of larger pixels as before, every pixel's part its share; and its odds lie between."""
    model = build(**network, padding=padding).double()
    dim, circular = model.config.dim, padding == "circular"
    larger = model.enlarged((48,) * dim)
    assert (larger.config.block, larger.config.grid) == (3, (48,) * dim)
    x = torch.rand(2, *model.config.grid, dtype=torch.float64)
    pixels = x.clone()
    for axis in range(1, 1 + dim):
        pixels = pixels.repeat_interleave(3, axis)
    slopes = []
    for net, image in ((model, x.requires_grad_()), (larger, pixels.requires_grad_())):
        slopes.append(torch.autograd.grad(net.predict(net.encode(image)).sum(), image)[0])
    z = model.encode(x)
    torch.testing.assert_close(larger.encode(pixels), z)
    torch.testing.assert_close(Coarsening((48,) * dim, 3, circular).means(slopes[1]) * 3**dim, slopes[0])
    middle = (..., *(slice(1, None, 3),) * dim)
    torch.testing.assert_close(larger.decode_logits(z)[middle], model.decode_logits(z))
    assert model.enlarged(model.config.grid) is model
    for grid in ((40,) * dim, (8,) * dim, (32, *(48,) * (dim - 1))):
        with pytest.raises(ValueError, match=r"this network draws 16 x 16( x 16)?, or whole multiples of it"):
            model.enlarged(grid)


def test_large_planes_are_coarsened_unless_told():
    for grid, block in (((128, 128), 1), ((130, 64), 2), ((256, 256), 4), ((1000, 1000), 15), ((136, 16, 16), 1)):
        assert JanusConfig().suited_to(grid, "dirichlet", ("kxx",)).coarsen == block
    assert JanusConfig(coarsen=8).suited_to((256, 256), "dirichlet").seen == (32, 32)
    with pytest.raises(ValueError, match="coarsen 8: leaves fewer than the 8 blocks a side it wants; lower it"):
        JanusConfig(coarsen=8).suited_to((48, 64), "dirichlet")
    assert JanusConfig(size=256).seen == (256, 256)
