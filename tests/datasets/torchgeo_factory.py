"""Tiny data sets in the real directory layouts and file formats of those that torchgeo reads.

Values say where they come from, so that a test can tell a raw value from a scaled one: `value_of`.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from conftest import write_scene
from PIL import Image

EUROSAT_CLASSES = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)
EUROSAT_BANDS = [*(f"B{n:02d}" for n in range(1, 13)), "B8A"]  # as in the files
S2_BANDS = [*(f"B{n:02d}" for n in range(1, 9)), "B8A", *(f"B{n:02d}" for n in range(9, 13))]
SPLITS = ("train", "val", "test")
LANDSAT_LABELS = (64, 128, 192, 255)
ISPRS_COLORS = ((255, 0, 0), (255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0))
DEEPGLOBE_COLORS = (
    *((0, 255, 255), (255, 255, 0), (255, 0, 255), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)),
)

UCMERCED_CLASSES = (
    *("agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral", "denseresidential"),
    *("forest", "freeway", "golfcourse", "harbor", "intersection", "mediumresidential", "mobilehomepark"),
    *("overpass", "parkinglot", "river", "runway", "sparseresidential", "storagetanks", "tenniscourt"),
)
OSCD_TRAIN = ("abudhabi", "aguasclaras", "beihai", "bercy", "bordeaux")
OSCD_TEST = ("brasilia", "chongqing")


def striped(height: int, width: int, values: Sequence[int], period: int = 5) -> np.ndarray:
    """Label values in diagonal stripes, so that every place has all of them near."""
    rows, cols = np.indices((height, width))
    return np.asarray(values, np.uint8)[(rows + cols) // period % len(values)]


def value_of(band: int, number: int) -> int:
    """The raw value of a band (from 0) in image `number`, as Sentinel-2 would have it."""
    return 1000 + 100 * band + number


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write `(H, W)` or `(H, W, 3)` uint8 values in the format that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def rgb(height: int, width: int, number: int) -> np.ndarray:
    """An even RGB image: red is the number, green 100, blue 200."""
    return np.full((height, width, 3), (number, 100, 200), np.uint8)


def eurosat(root: Path, prefix: str = "eurosat") -> None:
    folder = root / "ds" / "images" / "remote_sensing" / "otherDatasets" / "sentinel_2" / "tif"
    for number, split in enumerate(SPLITS, start=1):
        names = [f"{name}_{number}" for name in EUROSAT_CLASSES]
        for label, name in enumerate(names):
            values = np.array([value_of(band, label) for band in range(13)], np.uint16)
            image = np.broadcast_to(values[:, None, None], (13, 64, 64))
            write_scene(folder / EUROSAT_CLASSES[label] / f"{name}.tif", image, compress="deflate")
        (root / f"{prefix}-{split}.txt").write_text("".join(f"{name}.jpg\n" for name in names))


def eurosat_spatial(root: Path) -> None:
    eurosat(root, "eurosat-spatial")


def ucmerced(root: Path) -> None:
    names: dict[str, list[str]] = {split: [] for split in SPLITS}
    for label, name in enumerate(UCMERCED_CLASSES):
        for number, split in enumerate(SPLITS):
            # A few of the real images are a little smaller than 256 px.
            size = 253 if (label, number) == (0, 0) else 256
            file = root / "UCMerced_LandUse" / "Images" / name / f"{name}{number:02d}.tif"
            write_image(file, rgb(size, 256, label))
            names[split].append(file.name)
    for split, held in names.items():
        (root / f"uc_merced-{split}.txt").write_text("\n".join(held))


def resisc45(root: Path) -> None:
    for label in range(45):
        for number, split in enumerate(SPLITS):
            name = f"class_{label:02d}_{number:03d}.jpg"
            write_image(root / "NWPU-RESISC45" / f"class_{label:02d}" / name, rgb(256, 256, label))
            with (root / f"resisc45-{split}.txt").open("a") as file:
                file.write(name + "\n")


def bigearthnet(root: Path) -> None:
    labels = (["Pastures", "Sea and ocean"], ["Coniferous forest", "Burnt areas"], ["Airports", "Peatbogs"])
    sizes = dict.fromkeys(("B02", "B03", "B04", "B08"), 120) | dict.fromkeys(("B01", "B09"), 20)
    for number, split in enumerate(SPLITS):
        pairs = []
        for place in range(2):
            s2 = f"S2A_MSIL2A_20170613T101031_{number}_{place}"
            s1 = f"S1A_IW_GRDH_1SDV_20170613T165043_33UUP_{number}_{place}"
            pairs.append(f"{s2},{s1}")
            for band, name in enumerate(band for band in S2_BANDS if band != "B10"):
                size = sizes.get(name, 60)
                values = np.full((size, size), value_of(band, number), np.uint16)
                write_scene(
                    root / "BigEarthNet-v1.0" / s2 / f"{s2}_{name}.tif", values, pixel=(1200 / size,) * 2
                )
            for name, value in (("VV", -9.5), ("VH", -16.5)):
                values = np.full((120, 120), value, np.float32)
                write_scene(root / "BigEarthNet-S1-v1.0" / s1 / f"{s1}_{name}.tif", values)
            for folder in ("BigEarthNet-v1.0/" + s2, "BigEarthNet-S1-v1.0/" + s1):
                text = json.dumps({"labels": labels[(number + place) % 3]})
                (root / folder / f"{Path(folder).name}_labels_metadata.json").write_text(text)
        (root / f"bigearthnet-{split}.csv").write_text("\n".join(pairs))


def landcoverai(root: Path) -> None:
    for number, split in enumerate(SPLITS):
        names = [f"M-33-20-D-c-4-2_{number}{place}" for place in range(2)]
        for name in names:
            write_image(root / "output" / f"{name}.jpg", rgb(512, 512, 40 + number))
            write_image(root / "output" / f"{name}_m.png", striped(512, 512, range(5)))
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def loveda(root: Path) -> None:
    number = 0
    for split in ("Train", "Val", "Test"):
        for scene in ("Urban", "Rural"):
            folder = root / split / scene
            write_image(folder / "images_png" / f"{number}.png", rgb(1024, 1024, number))
            if split != "Test":
                write_image(folder / "masks_png" / f"{number}.png", striped(1024, 1024, range(8)))
            number += 1


def deepglobe(root: Path) -> None:
    for folder, count in (("training_data", 5), ("test_data", 1)):
        for number in range(count):
            classes = striped(530, 512, range(7))
            base = root / "data" / folder
            write_image(base / "images" / f"{100 + number}_sat.jpg", rgb(530, 512, 50))
            colors = np.asarray(DEEPGLOBE_COLORS, np.uint8)[classes]
            write_image(base / "masks" / f"{100 + number}_mask.png", colors)


def potsdam(root: Path) -> None:
    for name in ("2_10", "2_11", "2_12", "3_10", "3_11", "5_15"):
        image = np.broadcast_to(np.array([10, 20, 30, 40], np.uint8)[:, None, None], (4, 530, 530))
        write_scene(root / "4_Ortho_RGBIR" / f"top_potsdam_{name}_RGBIR.tif", image, pixel=(0.05, 0.05))
        colors = np.asarray(ISPRS_COLORS, np.uint8)[striped(530, 530, range(6))]
        write_scene(root / f"top_potsdam_{name}_label.tif", colors.transpose(2, 0, 1), pixel=(0.05, 0.05))


def vaihingen(root: Path) -> None:
    sizes = {1: (540, 520), 11: (512, 530), 13: (530, 500), 15: (514, 512), 17: (520, 520), 6: (530, 512)}
    for area, (height, width) in sizes.items():
        name = f"top_mosaic_09cm_area{area}.tif"
        write_image(root / "top" / name, rgb(height, width, area))
        write_image(root / name, np.asarray(ISPRS_COLORS, np.uint8)[striped(height, width, range(6))])


def l8biome(root: Path, apart: float = 30_000) -> None:
    """Five scenes, each so many metres east of the one before, with 60 columns beyond the swath."""
    for number in range(5):
        scene = f"LC80{40 + 3 * number}0822013{220 + number}LGN00"
        folder = root / "barren" / scene
        height, width = 300, 280
        values = np.array([7000 + 100 * band + number for band in range(11)], np.uint16)
        image = np.broadcast_to(values[:, None, None], (11, height, width)).copy()
        mask = striped(height, width, LANDSAT_LABELS)
        image[:, :, :60] = 0  # beyond the swath
        mask[:, :60] = 0
        place = {
            "crs": "EPSG:32633",
            "origin": (300_000.0 + apart * number, 5_000_000.0),
            "pixel": (30.0, 30.0),
        }
        write_scene(folder / f"{scene}.TIF", image, **place)
        write_scene(folder / f"{scene}_fixedmask.TIF", mask, **place)
        (folder / f"{scene}_MTL.txt").write_text("GROUP = L1_METADATA_FILE\n")


def oscd(root: Path) -> None:
    base = "Onera Satellite Change Detection dataset - "
    for split, cities in (("Train", OSCD_TRAIN), ("Test", OSCD_TEST)):
        for number, city in enumerate(cities):
            height, width = 150 + 10 * number, 180
            for date in (1, 2):
                for band, name in enumerate(S2_BANDS):
                    values = np.full((height, width), value_of(band, 10 * date + number), np.uint16)
                    write_scene(root / f"{base}Images" / city / f"imgs_{date}_rect" / f"{name}.tif", values)
            (root / f"{base}Images" / city / "dates.txt").write_text("date_1: 20160101\ndate_2: 20180101\n")
            write_image(
                root / f"{base}{split} Labels" / city / "cm" / "cm.png", striped(height, width, (0, 255))
            )


def levircd(root: Path) -> None:
    for number, split in enumerate(SPLITS):
        for place in range(2):
            name = f"{split}_{place}.png"
            write_image(root / "A" / name, rgb(400, 400, number))
            write_image(root / "B" / name, rgb(400, 400, 100 + number))
            write_image(root / "label" / name, striped(400, 400, (0, 255)))


def pastis(root: Path) -> None:
    folder, features = root / "PASTIS-R", []
    for patch, fold in enumerate((1, 2, 3, 4, 5, 1), start=10_000):
        dates = 5 + patch % 3
        image = np.zeros((dates, 10, 128, 128), np.int16)
        image += np.array([value_of(band, patch - 10_000) for band in range(10)], np.int16)[:, None, None]
        target = np.stack([striped(128, 128, range(20)), *np.zeros((2, 128, 128), np.uint8)])
        for name, values in (("DATA_S2/S2_", image), ("ANNOTATIONS/TARGET_", target)):
            file = folder / f"{name}{patch}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, values)
        ring = [
            [700_000.0, 6_000_000.0],
            [701_280.0, 6_000_000.0],
            [701_280.0, 6_001_280.0],
            [700_000.0, 6_000_000.0],
        ]
        features.append(
            {
                "type": "Feature",
                "properties": {
                    "ID_PATCH": patch,
                    "Fold": fold,
                    "TILE": "t30uxv",
                    "dates-S2": {str(n): 20180917 if n == 0 else 20190100 + n for n in range(dates)},
                },
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        )
    text = json.dumps({"type": "FeatureCollection", "features": features})
    (folder / "metadata.geojson").write_text(text)


DATA_SETS: dict[str, Callable[[Path], None]] = {
    function.__name__: function
    for function in (
        *(eurosat, eurosat_spatial, ucmerced, resisc45, bigearthnet, landcoverai, loveda, deepglobe),
        *(potsdam, vaihingen, l8biome, oscd, levircd, pastis),
    )
}
"""How the data of each shipped configuration are written into an empty folder."""
