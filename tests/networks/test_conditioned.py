"""The routes by which a text reaches a network: each kind listens to the routes that it has, and to no other."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.base.names import KINDS, TEXT_ROUTES

SIZES: dict[str, dict[str, Any]] = {
    "unet": {},
    "transformer": {"block_out_channels": (16,), "layers_per_block": 2, "mlp_ratio": 1.0},
}


def texts(seed: int) -> torch.Tensor:
    return torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def build(small_unet):
    def make(kind: str, route: str, **settings):
        """A network with no parameter at zero."""
        torch.manual_seed(0)
        network = small_unet(kind=kind, text_route=route, **SIZES[kind], **settings).eval()
        for parameter in network.parameters():
            parameter.data += 0.2 * torch.randn(parameter.shape)
        return network

    return make


def answer(network, states, mask=None, **told):
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(9))
    mask = torch.ones(2, 5, dtype=torch.bool) if mask is None else mask
    with torch.no_grad():
        return network(x, 300.0, states, mask, return_dict=False, **told)[0]


def listens(network) -> bool:
    """Whether another text gives a different answer."""
    return not torch.equal(answer(network, texts(1)), answer(network, texts(2)))


def silence(network, route: str) -> None:
    """Block a route."""
    for name, parameter in network.named_parameters():
        if ("attend_text.to_out" if route == "attention" else "text_mlp.3") in name:
            parameter.data.zero_()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("route", "left_without"),  # whether it still listens without attention, without the vector
    [("both", (True, True)), ("attention", (False, True)), ("pooled", (True, False)), ("none", (False, False))],
)
def test_a_network_listens_to_its_routes_and_to_no_other(build, kind, route, left_without):
    assert listens(build(kind, route)) == (route != "none")
    for silenced, wanted in zip(("attention", "pooled"), left_without, strict=True):
        network = build(kind, route)
        silence(network, silenced)
        assert listens(network) == wanted, silenced


@pytest.mark.parametrize("kind", KINDS)
def test_the_pooled_route_sees_the_mean_of_the_real_tokens_alone(build, kind):
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], dtype=torch.bool)
    states, turned = texts(1), texts(1)
    turned[0, :3], turned[1, :4] = states[0, :3].flip(0), states[1, :4].flip(0)
    turned[0, 0] += 1
    turned[0, 1] -= 1  # another text, with the same mean
    turned[~mask] = 7.0  # and different padding
    network = build(kind, "pooled")
    assert_close(answer(network, states, mask), answer(network, turned, mask))
    first, second = (answer(build(kind, "attention"), each, mask) for each in (states, turned))
    assert not torch.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_towers_vector_is_all_that_the_pooled_route_sees(build, kind):
    network, vector = build(kind, "pooled", pooled_dim=6), torch.randn(2, 6)
    one = answer(network, texts(1), pooled_projections=vector)
    assert torch.equal(one, answer(network, texts(2), pooled_projections=vector))
    assert not torch.allclose(one, answer(network, texts(1), pooled_projections=vector.flip(1)), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_takes_part_whatever_the_route(build, kind):
    for route in TEXT_ROUTES:
        network = build(kind, route)
        network(torch.randn(2, 1, 16, 16), 300.0, texts(1), return_dict=False)[0].square().mean().backward()
        assert [name for name, p in network.named_parameters() if p.grad is None] == [], route
        grouped = [p for group in network.parameter_groups().values() for p in group]
        assert len(grouped) == len(list(network.parameters()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_route_goes_with_a_saved_network(build, kind, tmp_path):
    network = build(kind, "pooled")
    network.save_pretrained(tmp_path)
    again = type(network).from_pretrained(tmp_path)
    assert torch.equal(answer(again, texts(1)), answer(network, texts(1)))


@pytest.mark.parametrize("route", ["attention", "none"])
def test_a_route_without_a_vector_has_no_use_for_a_tower(build, route):
    with pytest.raises(UserError, match=r"text_route .* takes no vector.*--set text.tower=0"):
        build("unet", route, pooled_dim=8)


def test_an_unknown_route_lists_the_known(build):
    with pytest.raises(UserError, match="one of both, attention, pooled, none, not 'ear'"):
        build("unet", "ear")
