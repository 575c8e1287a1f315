"""Scenes to tables: where chips lie, what their features are, and what is refused."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import torch
from conftest import MakeScene
from predict_factory import BANDS, ChipBrightness, Convolutions, make_network, make_recipe, smooth_noise
from pyarrow import parquet
from torch import Tensor

from eoseg.errors import BandError, CheckpointError, ConfigError, DataError, GridError, OutputError
from eoseg.models.network import Network
from eoseg.predict.embed import Embedding, EmbedOptions, embed_scenes
from eoseg.progress import Progress
from eoseg.recipe import Recipe

CHIP = 16
RECIPE = make_recipe(chip_size=CHIP)


class Means(ChipBrightness):
    """A classifier whose descriptor is the mean of each band."""

    def features(self, image: Tensor) -> Tensor:
        return image.mean(dim=(2, 3))


def means() -> Network:
    return make_network(Means(), recipe=RECIPE, kind="classification")


def embed(
    scenes: list[Path],
    out: Path,
    *,
    network: Network | None = None,
    recipe: Recipe = RECIPE,
    labels: list[Path] | None = None,
    **options: object,
) -> tuple[Embedding, geopandas.GeoDataFrame]:
    embedding = embed_scenes(
        network or means(),
        recipe,
        [str(scene) for scene in scenes],
        out,
        labels=[str(path) for path in labels or []],
        options=EmbedOptions(**options),  # type: ignore[arg-type]
    )
    return embedding, geopandas.read_parquet(out)


def expected(image: np.ndarray, row: int, col: int) -> np.ndarray:
    """Mean of each standardised band of a chip; what lies outside counts as 0."""
    statistics = RECIPE.statistics.bands
    mean = np.array([entry.mean for entry in statistics])[:, None, None]
    std = np.array([entry.std for entry in statistics])[:, None, None]
    part = (image[:, max(row, 0) : row + CHIP, max(col, 0) : col + CHIP] - mean) / std
    return part.sum(axis=(1, 2)) / CHIP**2


def test_each_chip_has_its_features_its_place_and_its_footprint(tmp_path: Path, make_scene: MakeScene):
    image = smooth_noise(40, 50)
    scene = make_scene("a.tif", image, names=BANDS)
    embedding, frame = embed([scene], tmp_path / "t.parquet")
    assert (embedding.chips, embedding.skipped, embedding.features) == (12, 0, 3)
    assert list(frame[["row", "col"]].itertuples(index=False, name=None)) == [
        (row, col) for row in (0, 16, 32) for col in (0, 16, 32, 48)
    ]
    assert set(frame.scene) == {"a"}
    for _, chip in frame.iterrows():
        found = chip[["f000", "f001", "f002"]].to_numpy(float)
        np.testing.assert_allclose(found, expected(image, chip.row, chip.col), atol=1e-5)
        height, width = min(40 - chip.row, CHIP), min(50 - chip.col, CHIP)
        assert chip.valid == pytest.approx(height * width / CHIP**2)
        assert chip.geometry.area == pytest.approx(100 * height * width)
    assert frame.geometry.union_all().area == pytest.approx(100 * 40 * 50)
    assert embedding.crs == "EPSG:32632"


def test_less_than_a_chip_from_one_to_the_next_makes_them_overlap(tmp_path: Path, make_scene: MakeScene):
    image = smooth_noise(32, 32)
    embedding, frame = embed([make_scene("a.tif", image, names=BANDS)], tmp_path / "t.parquet", step=8)
    assert embedding.step == 8
    assert sorted(set(frame.row)) == [-4, 4, 12, 20]  # around middles of 8 pixels
    chip = frame[(frame.row == -4) & (frame.col == 12)].iloc[0]
    np.testing.assert_allclose(
        chip[["f000", "f001", "f002"]].to_numpy(float), expected(image, -4, 12), atol=1e-5
    )
    assert chip.geometry.area == pytest.approx(100 * 12 * 16)


def test_chips_of_another_size_where_the_network_takes_them(tmp_path: Path, make_scene: MakeScene):
    from eoseg.models import build_network

    recipe = make_recipe(chip_size=64)
    network = build_network("unet", bands=BANDS, num_classes=4, args={"depth": 3, "channels": 4})
    network.normalize.set_statistics(recipe.statistics)
    scene = make_scene("a.tif", smooth_noise(64, 64), names=BANDS)
    usual, _ = embed([scene], tmp_path / "a.parquet", network=network, recipe=recipe)
    small, frame = embed([scene], tmp_path / "b.parquet", network=network, recipe=recipe, chip_size=16)
    assert (usual.chip_size, usual.chips) == (64, 1)
    assert (small.chip_size, small.chips) == (16, 16)
    assert small.features == usual.features == 128
    assert frame.filter(regex="^f").std().max() > 0


def test_the_batch_size_changes_nothing(tmp_path: Path, make_scene: MakeScene):
    scene = make_scene("a.tif", smooth_noise(40, 50), names=BANDS)
    _, one = embed([scene], tmp_path / "a.parquet", batch_size=1)
    _, many = embed([scene], tmp_path / "b.parquet", batch_size=5)
    pandas.testing.assert_frame_equal(one, many, rtol=1e-5)


def test_chips_without_a_valid_pixel_have_no_row(tmp_path: Path, make_scene: MakeScene):
    image = smooth_noise(32, 32).clip(1)
    image[:, :16, :16] = 0
    image[:, 16:, 16:24] = 0
    scene = make_scene("a.tif", image, names=BANDS, nodata=0)
    embedding, frame = embed([scene], tmp_path / "t.parquet")
    assert (embedding.chips, embedding.skipped) == (3, 1)
    assert frame.valid.tolist() == [1, 1, 0.5]


def test_labels_are_the_classes_of_the_checkpoint_or_the_values(tmp_path: Path, make_scene: MakeScene):
    scene = make_scene("a.tif", smooth_noise(32, 32), names=BANDS)
    values = np.full((32, 32), 255, np.uint8)
    values[:16, :16], values[:16, 16:], values[16:, :16] = 1, 3, 1
    labels = make_scene("labels.tif", values)
    embedding, frame = embed([scene], tmp_path / "a.parquet", labels=[labels])
    assert frame.label[:3].tolist() == ["wood", "town", "wood"]
    assert pandas.isna(frame.label[3])
    assert embedding.label_chips == {"wood": 2, "town": 1, "": 1}
    _, frame = embed([scene], tmp_path / "b.parquet", labels=[labels], label_values=True)
    assert frame.label[:3].tolist() == ["1", "3", "1"]


def test_several_scenes_come_into_one_table(tmp_path: Path, make_scene: MakeScene):
    first = make_scene("x/a.tif", smooth_noise(16, 16, seed=1), names=BANDS)
    second = make_scene("y/b.tif", smooth_noise(16, 16, seed=2), names=BANDS, origin=(510_000.0, 5_400_000.0))
    _, frame = embed([first, second], tmp_path / "t.parquet")
    assert frame.scene.tolist() == ["a", "b"]
    assert frame.geometry[1].bounds[0] == 510_000
    assert frame.f000[0] != frame.f000[1]


def test_scenes_of_one_name_keep_their_paths(tmp_path: Path, make_scene: MakeScene):
    scenes = [make_scene(f"{name}/a.tif", smooth_noise(16, 16), names=BANDS) for name in "xy"]
    _, frame = embed(scenes, tmp_path / "t.parquet")
    assert frame.scene.tolist() == [str(scene) for scene in scenes]


def test_scenes_of_several_crs_come_to_longitudes_and_latitudes(tmp_path: Path, make_scene: MakeScene):
    first = make_scene("a.tif", smooth_noise(16, 16), names=BANDS)
    second = make_scene("b.tif", smooth_noise(16, 16), names=BANDS, crs="EPSG:32633")
    embedding, frame = embed([first, second], tmp_path / "t.parquet")
    assert embedding.crs == "EPSG:4326"
    assert frame.crs.to_epsg() == 4326
    assert frame.geometry.bounds.minx.round(2).tolist() == [9.0, 15.0]


def test_the_table_says_where_it_comes_from(tmp_path: Path, make_scene: MakeScene):
    checkpoint = tmp_path / "model.ckpt"
    checkpoint.write_bytes(b"weights")
    scene = make_scene("a.tif", smooth_noise(16, 16), names=BANDS)
    embed_scenes(means(), RECIPE, [str(scene)], tmp_path / "t.parquet", checkpoint=checkpoint)
    said = json.loads(parquet.ParquetFile(tmp_path / "t.parquet").metadata.metadata[b"eoseg"])
    assert said["checkpoint"] == "model.ckpt"
    assert len(said["checkpoint_sha256"]) == 64
    assert (said["chip_size"], said["step"], said["bands"]) == ("16", "16", ",".join(BANDS))


def test_progress_counts_the_pixels_of_all_scenes(tmp_path: Path, make_scene: MakeScene):
    scenes = [make_scene(f"{name}.tif", smooth_noise(20, 20), names=BANDS) for name in "ab"]
    seen: list[Progress] = []
    embed_scenes(means(), RECIPE, [str(s) for s in scenes], tmp_path / "t.parquet", progress=seen.append)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert seen[-1] == Progress(800, 800)


def test_bands_and_nodata_of_the_command_line_are_used(tmp_path: Path, make_scene: MakeScene):
    image = smooth_noise(16, 32).clip(1)
    image[:, :, 16:] = 0
    scene = make_scene("a.tif", image[::-1], names=["x", "y", "z"])
    with pytest.raises(BandError, match="B02"):
        embed([scene], tmp_path / "t.parquet")
    _, frame = embed([scene], tmp_path / "t.parquet", bands=BANDS[::-1], nodata=0)
    assert len(frame) == 1
    np.testing.assert_allclose(frame.filter(regex="^f").iloc[0], expected(image, 0, 0), atol=1e-5)


def test_another_scale_is_refused_unless_allowed(tmp_path: Path, make_scene: MakeScene):
    scene = make_scene("a.tif", smooth_noise(16, 16).astype(np.uint16) * 100 + 20_000, names=BANDS)
    with pytest.raises(BandError):
        embed([scene], tmp_path / "t.parquet")
    embedding, _ = embed([scene], tmp_path / "t.parquet", allow_range_mismatch=True)
    assert "mismatch is allowed" in embedding.notices[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 18}, "leave gaps. Use a --step of at most 16"),
        ({"step": 15}, "differ by an even number; found --step 15. Use 14 or 16"),
        ({"chip_size": 32}, "made for chips of 16 px"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"label_values": True}, "there are none. Give --labels too"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, make_scene: MakeScene, options: dict[str, object], message: str
):
    scene = make_scene("a.tif", smooth_noise(16, 16), names=BANDS)
    with pytest.raises(ConfigError, match=message):
        embed([scene], tmp_path / "t.parquet", **options)
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize("name", ["chip_size", "step", "batch_size"])
def test_a_number_below_one_is_refused(name: str):
    with pytest.raises(ConfigError, match=f"{name.replace('_', ' ')} is 1 or more; found 0"):
        EmbedOptions(**{name: 0})


def test_what_is_given_must_go_together(tmp_path: Path, make_scene: MakeScene):
    scene = make_scene("a.tif", smooth_noise(16, 16), names=BANDS)
    out = tmp_path / "t.parquet"
    with pytest.raises(ConfigError, match="No scene was given"):
        embed([], out)
    with pytest.raises(ConfigError, match="is given twice"):
        embed([scene, scene], out)
    with pytest.raises(ConfigError, match=r"1 scene\(s\), but 2 label raster\(s\)"):
        embed([scene], out, labels=[scene, scene])
    with pytest.raises(ConfigError, match="is a .parquet file; found"):
        embed([scene], tmp_path / "t.csv")
    moved = make_scene("labels.tif", np.zeros((16, 16), np.uint8), origin=(0.0, 0.0))
    with pytest.raises(GridError):
        embed([scene], out, labels=[moved])
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        embed([scene], out)
    embed([scene], out, overwrite=True)


def test_values_of_labels_are_no_choice_without_classes(tmp_path: Path, make_scene: MakeScene):
    scene = make_scene("a.tif", smooth_noise(16, 16), names=BANDS)
    recipe = make_recipe(chip_size=CHIP, classes=())
    with pytest.raises(ConfigError, match="has no classes, so labels are values"):
        embed([scene], tmp_path / "t.parquet", recipe=recipe, labels=[scene], label_values=True)


def test_scenes_of_nodata_alone_make_no_table(tmp_path: Path, make_scene: MakeScene):
    scene = make_scene("a.tif", np.zeros((3, 16, 16), np.uint8), names=BANDS, nodata=0)
    with pytest.raises(DataError, match="None of the 1 scene"):
        embed([scene], tmp_path / "t.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_features_that_are_no_numbers_are_refused(tmp_path: Path, make_scene: MakeScene):
    class Diverged(Means):
        def features(self, image: Tensor) -> Tensor:
            return super().features(image) * torch.inf

    scene = make_scene("a.tif", smooth_noise(16, 16), names=BANDS)
    network = make_network(Diverged(), recipe=RECIPE, kind="classification")
    with pytest.raises(CheckpointError, match="no finite numbers"):
        embed([scene], tmp_path / "t.parquet", network=network)
    assert not (tmp_path / "t.parquet").exists()


def test_a_network_without_features_is_refused_before_any_work(tmp_path: Path):
    with pytest.raises(ConfigError, match="nothing to embed"):
        embed_scenes(make_network(Convolutions(1)), RECIPE, ["absent.tif"], tmp_path / "t.parquet")
