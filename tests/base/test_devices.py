"""Which precision is fast, by what a processor reports of itself."""

import pytest
import torch

from glyffuser.base import devices


@pytest.mark.parametrize(
    ("name", "amx", "avx512", "fast"),
    [
        ("Intel(R) Xeon(R) Platinum 8488C", True, True, True),
        ("Intel(R) Xeon(R) Processor", False, True, False),  # a virtual machine that hides AMX
        ("AMD EPYC 9R14", False, True, True),
        ("AMD EPYC 7R13", False, False, False),
        ("Apple M2", False, False, False),
    ],
)
def test_bfloat16_is_used_where_it_is_faster_than_float32(monkeypatch, name, amx, avx512, fast):
    monkeypatch.setattr(devices, "processor", lambda: name)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert devices.bfloat16_is_fast(torch.device("cpu")) is fast


def test_the_processor_has_a_name():
    assert devices.processor()
