import hashlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.random import default_rng

from eoseg.datasets.landscape import BUILT, FOREST, MEADOW, ORCHARD, WATER, make_landscape
from eoseg.datasets.look import observe
from eoseg.datasets.world import WORLD_BANDS, WORLD_CLASSES, World, make_place, make_world
from eoseg.errors import ConfigError, OutputError
from eoseg.geo.write import write_raster
from eoseg.recipe import IGNORE, format_color, parse_classes


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world") / "made"
    return make_world(folder, seed=3, scenes=2, size=96, unseen_size=(101, 133))


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_files_are_where_the_world_says(world: World) -> None:
    assert sorted(hashes(world.folder)) == [
        "README.md",
        "train/images/scene_0.tif",
        "train/images/scene_1.tif",
        "train/labels/scene_0.tif",
        "train/labels/scene_1.tif",
        "unseen/image.tif",
        "unseen/truth.tif",
    ]
    paths = [*world.images, *world.labels, world.unseen_image, world.unseen_truth]
    assert all(path.is_file() for path in paths)
    assert [path.name for path in world.images] == [path.name for path in world.labels]


def test_the_same_seed_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    make_world(tmp_path / "again", seed=3, scenes=2, size=96, unseen_size=(101, 133))
    assert hashes(tmp_path / "again") == hashes(world.folder)


def test_another_seed_gives_another_world(world: World, tmp_path: Path) -> None:
    other = make_world(tmp_path / "other", seed=4, scenes=1, size=96, unseen_size=(101, 133))
    assert other.images[0].read_bytes() != world.images[0].read_bytes()


def test_a_scene_does_not_depend_on_how_many_there_are(world: World, tmp_path: Path) -> None:
    fewer = make_world(tmp_path / "fewer", seed=3, scenes=1, size=96, unseen_size=(64, 64))
    assert fewer.images[0].read_bytes() == world.images[0].read_bytes()


def test_images_look_like_sentinel_2_files(world: World) -> None:
    for path, size in ((world.images[0], (96, 96)), (world.unseen_image, (101, 133))):
        with rasterio.open(path) as dataset:
            assert dataset.descriptions == WORLD_BANDS
            assert set(dataset.dtypes) == {"uint16"}
            assert (dataset.nodata, dataset.shape, dataset.res) == (0, size, (10, 10))
            assert dataset.crs.to_epsg() == 32632


def test_labels_share_the_grid_of_their_images_and_carry_the_colours(world: World) -> None:
    pairs = [*zip(world.images, world.labels, strict=True), (world.unseen_image, world.unseen_truth)]
    for image_path, label_path in pairs:
        with rasterio.open(image_path) as image, rasterio.open(label_path) as label:
            assert (image.transform, image.shape, image.crs) == (label.transform, label.shape, label.crs)
            assert (label.nodata, label.dtypes) == (IGNORE, ("uint8",))
            colors = [format_color(label.colormap(1)[value][:3]) for value in range(len(WORLD_CLASSES))]
            assert colors == list(WORLD_CLASSES.values())


def test_no_two_scenes_overlap(world: World) -> None:
    boxes = []
    for path in [*world.images, world.unseen_image]:
        with rasterio.open(path) as dataset:
            boxes.append(dataset.bounds)
    assert all(
        rasterio.coords.disjoint_bounds(first, second)
        for number, first in enumerate(boxes)
        for second in boxes[number + 1 :]
    )


def test_the_classes_are_a_valid_specification() -> None:
    assert [entry.name for entry in parse_classes(WORLD_CLASSES)] == list(WORLD_CLASSES)
    assert list(WORLD_CLASSES).index("built") == BUILT
    assert list(WORLD_CLASSES).index("forest") == FOREST


@pytest.mark.parametrize("place", [0, 2])
def test_beyond_the_swath_all_bands_are_nodata_and_there_is_no_label(place: int) -> None:
    image, truth = make_place(0, place, (128, 160))
    outside = truth == IGNORE
    assert 0 < outside.mean() < 0.3
    assert ((image == 0).all(axis=0) == outside).all()
    assert ((image == 0).any(axis=0) == outside).all()


def test_some_scenes_are_seen_completely() -> None:
    image, truth = make_place(0, 1, (128, 128))
    assert (image > 0).all()
    assert (truth != IGNORE).all()


def test_every_class_occurs_in_every_scene_of_the_default_world() -> None:
    for place, size in ((0, (701, 903)), (1, (512, 512)), (2, (512, 512)), (3, (512, 512)), (4, (512, 512))):
        _, truth = make_place(0, place, size)
        shares = np.bincount(truth[truth != IGNORE], minlength=len(WORLD_CLASSES)) / truth.size
        assert shares.min() > 0.01, (place, shares)
        assert shares.max() < 0.6, (place, shares)


def test_spectra_are_plausible() -> None:
    image, truth = make_place(0, 1, (512, 512))
    blue, _, red, infrared = (np.array([band[truth == k].mean() for k in range(6)]) for band in image)
    index = (infrared - red) / (infrared + red)  # vegetation index
    assert index[WATER] < 0.1
    assert index[[FOREST, ORCHARD, MEADOW]].min() > 0.5
    assert 0.1 < index[BUILT] < 0.5
    assert blue[BUILT] > blue[FOREST]
    assert image.min() > 0
    assert image.max() < 12_000


def test_one_look_differs_from_the_next_but_the_land_stays() -> None:
    land = make_landscape(default_rng(0), 96, 96)
    before = land.classes.copy()
    first, second = observe(land, default_rng(1)), observe(land, default_rng(2))
    assert first.shape == second.shape == (4, 96, 96)
    assert first.dtype == np.float32
    assert (first != second).mean() > 0.99
    assert np.corrcoef(first[3].ravel(), second[3].ravel())[0, 1] > 0.8
    assert (land.classes == before).all()


def test_a_pixel_alone_does_not_tell_its_class() -> None:
    from sklearn.ensemble import RandomForestClassifier

    def pixels(place: int) -> tuple[np.ndarray, np.ndarray]:
        image, truth = make_place(0, place, (256, 256))
        known = truth != IGNORE
        return image[:, known].T.astype(np.float32), truth[known]

    values, classes = pixels(1)
    forest = RandomForestClassifier(20, min_samples_leaf=5, random_state=0).fit(values[::7], classes[::7])
    values, classes = pixels(2)
    assert 0.5 < (forest.predict(values[::5]) == classes[::5]).mean() < 0.85


def test_a_folder_that_holds_files_is_refused(world: World) -> None:
    before = hashes(world.folder)
    with pytest.raises(OutputError, match="holds files already; name a new folder"):
        make_world(world.folder)
    assert hashes(world.folder) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "world").write_text("")
    with pytest.raises(OutputError, match="holds files already"):
        make_world(tmp_path / "world")


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert make_world(tmp_path, scenes=1, size=64, unseen_size=(64, 64)).images[0].is_file()


def test_a_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fill_the_disk(path: Path, *arguments, **options) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write_raster(path, *arguments, **options)

    monkeypatch.setattr("eoseg.datasets.world.write_raster", fill_the_disk)
    with pytest.raises(OutputError, match=r"cannot be written: .*No space left on device"):
        make_world(tmp_path / "world", size=64, unseen_size=(64, 64))
    assert len(calls) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_world_without_scenes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1 training scene; found 0"):
        make_world(tmp_path / "world", scenes=0)


@pytest.mark.parametrize("sizes", [{"size": 63}, {"unseen_size": (63, 900)}, {"unseen_size": (900, 63)}])
def test_too_small_a_scene_is_refused(tmp_path: Path, sizes: dict) -> None:
    with pytest.raises(ConfigError, match="at least 64 px each way; found 63"):
        make_world(tmp_path / "world", **sizes)
    assert not (tmp_path / "world").exists()
