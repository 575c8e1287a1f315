"""eoseg against other programs: the same weights, scene and machine, GeoTIFF in, GeoTIFF out.

A U-Net over ResNet-18 is first trained for a few minutes on a synthetic scene whose classes one pixel alone
does not tell, since a network with random weights says nothing of seams.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from figures import Figure
from torch.nn import functional
from world import band_names, make_land, make_network

from eoseg.models import Network

SIDE, STEPS, BATCH, CHIP = 2048, 80, 8, 128
CONTRAST = 300
JUDGED = 128  # pixels from the border of the scene on, where programs pad differently
ROUNDS = 2
LIMIT_DEFAULT, LIMIT_EQUAL, LIMIT_SEAM = 2.8, 1.6, 0.25
OUT_OF_THE_BOX = (256, 64, 8)
PEERS = ("monai", "torchgeo", "terratorch", "geoai", "rastervision")


def measure(folder: Path, environments: Path, rounds: int = ROUNDS) -> list[Figure]:
    """Unique megapixels per CPU second of one thread, memory, and pixels that differ from one whole pass."""
    scene, weights, truth = _prepare(folder)
    ways = [("eoseg", (0, 0, 1)), ("eoseg", OUT_OF_THE_BOX)]
    for peer in PEERS:
        if (environments / peer / "bin" / "python").exists():
            ways += [(peer, OUT_OF_THE_BOX), (f"{peer}_cl", OUT_OF_THE_BOX)]
        else:
            print(f"{peer} is not installed: left out", file=sys.stderr)
    best: dict[tuple[str, tuple[int, int, int]], dict[str, float]] = {}
    for _ in range(rounds):  # by turns
        for name, sizes in ways:
            found = _in_child(environments, folder, name, scene, weights, sizes)
            if found is None:
                continue
            found["seam"] = _differing(folder / "peer_map.tif", truth)
            if (name, sizes) not in best or found["cpu_s"] < best[name, sizes]["cpu_s"]:
                best[name, sizes] = found
            print(name, sizes, found, file=sys.stderr, flush=True)
    return _figures(best)


def _figures(best: dict[tuple[str, tuple[int, int, int]], dict[str, float]]) -> list[Figure]:
    figures = []
    pixels = SIDE**2 / 1e6
    for (name, sizes), found in best.items():
        how = "default" if not sizes[0] else f"tile {sizes[0]}, overlap {sizes[1]}, batch {sizes[2]}"
        note = f"wall {pixels / found['wall_s']:.3f} MP/s; {found['above_mb']:.0f} MB above the warm process"
        if found["start_s"]:
            note += f"; {found['start_s']:.1f} of {found['cpu_s']:.1f} s before the first tile"
        figures.append(Figure("peers", f"{name}, {how}", pixels / found["cpu_s"], "MP per CPU s", note=note))
        figures.append(
            Figure("peers", f"{name}, {how}: differs from one whole pass", 100 * found["seam"], "%")
        )
    plain = {key: found for key, found in best.items() if key[0] in PEERS}
    if not plain:
        return figures
    fastest = min(found["cpu_s"] for found in plain.values())
    least = min(found["seam"] for found in plain.values())
    default, equal = best["eoseg", (0, 0, 1)], best["eoseg", OUT_OF_THE_BOX]
    for what, own, limit in (
        ("eoseg's default / fastest peer", default, LIMIT_DEFAULT),
        ("eoseg / fastest peer, equal tiles", equal, LIMIT_EQUAL),
    ):
        figures.append(Figure("peers", f"{what}, with its start", fastest / own["cpu_s"], "times"))
        without = fastest / (own["cpu_s"] - own["start_s"])
        note = "from the first tile on: peers' start is not timed, and a start is the same for any scene"
        figures.append(Figure("peers", what, without, "times", limit, note=note))
    figures += [
        Figure(
            "peers",
            "seam error of eoseg's default / least of the peers",
            default["seam"] / least if least else 0.0,
            "",
            LIMIT_SEAM,
            "smaller",
        ),
    ]
    return figures


def _in_child(
    environments: Path, folder: Path, name: str, scene: Path, weights: Path, sizes: tuple[int, int, int]
) -> dict[str, float] | None:
    own = name == "eoseg"
    python = sys.executable if own else str(environments / name.partition("_")[0] / "bin" / "python")
    out = folder / "peer_map.tif"
    out.unlink(missing_ok=True)
    runs = str(Path(__file__).with_name("peer_runs.py"))
    command = [python, runs, name, str(scene), str(weights), str(out), *map(str, sizes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if result.returncode:
        print(f"{name} failed: {result.stderr[-2000:]}", file=sys.stderr)
        return None
    return json.loads(result.stdout.splitlines()[-1])


def _differing(path: Path, truth: np.ndarray) -> float:
    with rasterio.open(path) as dataset:
        found = dataset.read(1)
    inner = slice(JUDGED, -JUDGED)
    return float((found[inner, inner] != truth[inner, inner]).mean())


def _prepare(folder: Path) -> tuple[Path, Path, np.ndarray]:
    """Scene, weights, and the classes of one pass over the whole scene; made once."""
    place = folder / "peers"
    place.mkdir(exist_ok=True)
    scene, weights = place / "scene.tif", place / "weights.pt"
    image, _ = make_land(SIDE, 4, seed=1, contrast=CONTRAST)
    if not scene.exists():
        profile = {"driver": "GTiff", "count": 4, "height": SIDE, "width": SIDE, "dtype": "uint16"}
        profile |= {
            "tiled": True,
            "blockxsize": 512,
            "blockysize": 512,
            "compress": "deflate",
            "predictor": 2,
        }
        profile |= {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_400_000)}
        with rasterio.open(scene, "w", **profile) as dataset:
            dataset.write(image)
            for number, name in enumerate(band_names(4), start=1):
                dataset.set_band_description(number, name)
    network = make_network(4)
    if weights.exists():
        network.body.load_state_dict(torch.load(weights, weights_only=True))
    else:
        _train(network)
        torch.save(network.body.state_dict(), weights)
    with torch.inference_mode():
        values = torch.from_numpy(image.astype(np.float32))[None]
        logits = network.eval()(values, torch.ones(1, SIDE, SIDE, dtype=torch.bool))
    return scene, weights, logits[0].max(dim=0).indices.to(torch.uint8).numpy()


def _train(network: Network) -> None:
    """Some steps on another scene; prints how good the network gets."""
    image, classes = make_land(SIDE, 4, seed=2, contrast=CONTRAST, spectra_seed=1)
    values, labels = torch.from_numpy(image.astype(np.float32)), torch.from_numpy(classes).long()
    chance = torch.Generator().manual_seed(0)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    valid = torch.ones(BATCH, CHIP, CHIP, dtype=torch.bool)
    for step in range(STEPS):
        places = torch.randint(0, SIDE - CHIP, (BATCH, 2), generator=chance).tolist()
        chips = torch.stack([values[:, row : row + CHIP, col : col + CHIP] for row, col in places])
        wanted = torch.stack([labels[row : row + CHIP, col : col + CHIP] for row, col in places])
        logits = network(chips, valid)
        loss = functional.cross_entropy(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 10 == 9:
            right = (logits.argmax(1) == wanted).float().mean()
            print(f"step {step + 1}: loss {loss:.3f}, accuracy {right:.3f}", file=sys.stderr, flush=True)
