"""Watching a pass costs no import of torch's compiler."""

import subprocess
import sys

CODE = """
import sys
import torch
from torch import nn
from eoseg.predict.memory import bytes_per_pixel
print(bytes_per_pixel(nn.Conv2d(4, 8, 1), channels=4, stride=1, size=16) > 0, "torch._dynamo" in sys.modules)
"""


def test_the_compiler_is_not_imported() -> None:
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False"]
