"""Weights that were loaded lie where torch would have put them."""

import torch

from glyffuser.base.weights import align


def test_weights_that_lie_anywhere_are_moved_and_others_stay():
    network = torch.nn.Linear(4, 4)
    network.weight.data = torch.arange(17.0)[1:].reshape(4, 4)  # begins 4 bytes after a multiple of 64
    weight, bias = network.weight, network.bias.data_ptr()
    assert weight.data_ptr() % 64
    align(network)
    assert network.weight is weight  # for an optimiser may hold it
    assert weight.data_ptr() % 64 == 0
    assert torch.equal(weight, torch.arange(1.0, 17.0).reshape(4, 4))
    assert network.bias.data_ptr() == bias
