"""Weights that were loaded lie where torch would have put them."""

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config
from safetensors.torch import load_file, save_file

from glyffuser.base.weights import load_network, to_aligned_memory


def test_weights_that_lie_anywhere_are_moved_and_others_stay():
    network = torch.nn.Linear(4, 4)
    network.weight.data = torch.arange(17.0)[1:].reshape(4, 4)  # begins 4 bytes after a multiple of 64
    weight, bias = network.weight, network.bias.data_ptr()
    assert weight.data_ptr() % 64
    to_aligned_memory(network)
    assert network.weight is weight  # for an optimiser may hold it
    assert weight.data_ptr() % 64 == 0
    assert torch.equal(weight, torch.arange(1.0, 17.0).reshape(4, 4))
    assert network.bias.data_ptr() == bias


class Product(ModelMixin, ConfigMixin):
    """One matrix."""

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)


def test_a_loaded_network_lies_as_one_that_was_just_made(tmp_path):
    network = Product()
    network.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    for length in range(0, 64, 8):  # the length of the notes moves the weights behind them, eight bytes at a time
        save_file(weights, file, {"format": "pt", "note": "." * length})
        loaded = load_network(Product, tmp_path)
        assert not any(weight.data_ptr() % 64 for weight in loaded.parameters())
        assert torch.equal(loaded.linear.weight, network.linear.weight)
