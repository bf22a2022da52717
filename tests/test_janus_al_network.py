"""Both architectures: any side, second derivatives, and what circular padding is for."""

import pytest
import torch

from janus_al.networks.convolutional import Double, decoder, encoder
from janus_al.networks.janus import Janus, JanusConfig
from janus_al.networks.media import START, conductance

NETWORKS = ({"architecture": "conv"}, {"architecture": "conv", "media": 2}, {"architecture": "vit"})
networks = pytest.mark.parametrize("network", NETWORKS, ids=["conv", "media", "vit"])


def build(**settings):
    torch.manual_seed(0)
    return Janus(JanusConfig(**{"size": 16, "latent": 6, "channels": 4, "rank": 3, **settings}))


@networks
@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize("size", [16, 24, 40])
@pytest.mark.parametrize("stem", [2, 4])
def test_any_side_that_8_divides(network, padding, size, stem):
    model = build(**network, padding=padding, size=size, stem=stem)
    z = model.encode(torch.rand(2, size, size))
    assert z.shape == (2, 6)
    assert model.decode(z).shape == (2, size, size)
    assert model.predict(z).shape == (2, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 20}, "that 8 divides"),
        ({"architecture": "mlp"}, "architecture 'mlp': it must be conv or vit"),
        ({"padding": "reflect"}, "padding 'reflect': it must be zeros or circular"),
        ({"stem": 3}, "stem 3: it must be 2 or 4"),
        ({"latent": 4, "media": 2}, "latent 4: 2 media take 4 of them"),
    ],
)
def test_networks_that_cannot_be_built(change, words):
    with pytest.raises(ValueError, match=words):
        JanusConfig(**change)


@networks
def test_second_derivatives(network):
    """The sensitivity loss is a function of d P(E(x)) / dx: its gradient must be that of finite differences."""
    model = build(**network).double()
    x = torch.rand(2, 16, 16, dtype=torch.float64, requires_grad=True)

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
    x = torch.zeros(3, 16, 16, dtype=torch.float64)
    x[1, 2, 3] = x[2, 12, 9] = 1
    z = model.encode(x)
    assert (z[0] - z[1]).abs().max() > 1e-6
    assert (z[1] - z[2]).abs().max() > 1e-6


@pytest.mark.parametrize("stem", [2, 4])
def test_circular_padding_commutes_with_translation(stem):
    """Up to the layers that see positions, a shift by 8 pixels is a shift by one of the coarsest cells."""
    torch.manual_seed(0)
    x = torch.rand(2, 1, 24, 24)
    for circular in (True, False):
        body = encoder((24, 24), 5, 4, stem, circular)[:-2]
        back = decoder((24, 24), 5, 4, stem, circular)[2:]
        coarse = body(x)
        moved = body(x.roll((8, 16), (-2, -1)))
        same = [torch.allclose(moved, coarse.roll((1, 2), (-2, -1)), atol=1e-5)]
        same.append(
            torch.allclose(back(coarse.roll((1, 2), (-2, -1))), back(coarse).roll((8, 16), (-2, -1)), atol=1e-5)
        )
        assert same == [circular, circular]


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
    torch.testing.assert_close(conductance(along, along, circular), torch.tensor([3 / (1 + 1 / 4 + 1 / 2)]))
    torch.testing.assert_close(conductance(along.mT, along.mT, circular), torch.tensor([7 / 3]))
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
    torch.testing.assert_close(conductance(along[None], aside[None], circular), flux[None])


def test_fresh_media_and_a_fresh_head_say_nearly_what_conducts():
    model = build(latent=8, media=2)
    z = model.encode(torch.rand(64, 16, 16).round())
    said = model.predict(z)
    curved = said - model.head.linear(z[:, :4])
    assert curved.std(dim=0).max() < 0.3 * said.std(dim=0).min()
    model.encoder.local.weight.data.zero_()
    model.encoder.local.bias.data.zero_()
    for label, conducts in ((1.0, START), (0.0, -START)):
        z = model.encode(torch.full((1, 16, 16), label))
        torch.testing.assert_close(z[0, :4], torch.full((4,), conducts))
