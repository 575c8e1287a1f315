"""What a bench finds: figures with the limits that they are judged by, as JSON and as a Markdown table."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    bench: str
    what: str
    value: float
    unit: str = ""
    limit: float | None = None
    """What it is judged by; None for a figure that only explains others."""
    better: Literal["larger", "smaller"] = "larger"
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; None without one."""
        if self.limit is None:
            return None
        return self.value >= self.limit if self.better == "larger" else self.value <= self.limit


def to_table(figures: Sequence[Figure]) -> str:
    """A Markdown table, a line for each figure."""
    lines = ["| bench | what | figure | limit | holds | note |", "|---|---|---|---|---|---|"]
    for figure in figures:
        limit, holds = "", ""
        if figure.limit is not None:
            limit = f"{'>=' if figure.better == 'larger' else '<='} {figure.limit:g}"
            holds = "yes" if figure.holds else "**no**"
        value = f"{figure.value:.4g} {figure.unit}".strip()
        lines.append(f"| {figure.bench} | {figure.what} | {value} | {limit} | {holds} | {figure.note} |")
    return "\n".join(lines)


def to_json(figures: Sequence[Figure]) -> str:
    """All figures and the machine that they were measured on."""
    import torch

    machine = {"processor": processor(), "torch": torch.__version__, "python": platform.python_version()}
    entries = [{**asdict(figure), "holds": figure.holds} for figure in figures]
    return json.dumps({**machine, "figures": entries}, indent=2) + "\n"


def processor() -> str:
    """Name of the processor, as the system gives it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"
