"""Activations are counted as they live and die."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from eoseg.predict import memory
from eoseg.predict.memory import bytes_per_pixel, give_back_freed_memory, keep_freed_memory


def test_one_convolution_takes_its_output_beside_its_input() -> None:
    # 4 channels of float32 out; raw and standardised input, 3 channels each.
    assert bytes_per_pixel(nn.Conv2d(3, 4, 1), channels=3, stride=1) == 4 * 4 + 2 * 3 * 4


def test_what_is_freed_on_the_way_counts_once() -> None:
    one = bytes_per_pixel(nn.Sequential(nn.Conv2d(4, 64, 1), nn.Conv2d(64, 4, 1)), channels=4, stride=1)
    layers = [nn.Conv2d(4, 64, 1), nn.Conv2d(64, 4, 1)]
    three = bytes_per_pixel(nn.Sequential(*layers, *layers, *layers), channels=4, stride=1)
    assert three <= one + 2 * 16


def test_what_is_kept_for_later_counts_all_the_time() -> None:
    class Skip(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            kept = image.repeat(1, 10, 1, 1)
            return kept + image.repeat(1, 10, 1, 1)

    assert bytes_per_pixel(Skip(), channels=1, stride=1) >= 3 * 10 * 4


def test_the_result_does_not_depend_on_the_probe() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(32), nn.Upsample(scale_factor=32))
    assert bytes_per_pixel(net, channels=3, stride=32) == bytes_per_pixel(net, channels=3, stride=64)


def test_a_network_for_chips_is_measured_on_a_chip() -> None:
    # 8 channels of float32 per pixel, and one average per chip.
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = bytes_per_pixel(net, channels=3, stride=1, size=16)
    assert found == pytest.approx(8 * 4 + 2 * 3 * 4, abs=1)


def test_keeping_freed_memory_changes_no_result() -> None:
    keep_freed_memory()
    assert torch.ones(1000, 1000).sum() == 1e6


@pytest.mark.skipif(memory._glibc() is None, reason="glibc alone gives memory back when it is told to")
def test_what_was_kept_is_given_back() -> None:
    """In a process of its own: its allocator stays as it is set."""
    code = """
import re, torch
from eoseg.predict.memory import give_back_freed_memory, keep_freed_memory
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) / 1024
keep_freed_memory()
pieces = [torch.ones(2**18) for _ in range(200)]  # 200 MB
kept = torch.ones(1)  # lies above them: without it the heap itself could end lower
pieces.clear()
before = resident()
give_back_freed_memory()
print(before - resident())
"""
    result = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    assert float(result.stdout) > 150


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    keep_freed_memory()
    give_back_freed_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_freed_memory()
    give_back_freed_memory()
