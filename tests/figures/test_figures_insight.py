import numpy as np

from eoseg.figures.insight import filter_sheet, heat_image


def test_filters_show_red_green_and_blue_around_grey() -> None:
    weights = np.zeros((9, 4, 1, 1))
    weights[0, 2] = 0.5  # band B04, red, alone
    weights[1, 0] = -2.0  # band B02, blue, alone
    sheet = filter_sheet(weights, ["B02", "B03", "B04", "B08"])
    assert sheet.shape == (48 + 3 + 48, 8 * 48 + 7 * 3, 3)  # nine filters in two rows
    assert sheet[5, 5].tolist() == [255, 128, 128]
    assert sheet[5, 48 + 3 + 5].tolist() == [128, 128, 0]
    assert sheet[5, 2 * 51 + 5].tolist() == [128, 128, 128]  # a filter without any weight
    assert sheet[51 + 5, 51 + 5].tolist() == [255, 255, 255]  # no tenth filter


def test_filters_of_other_channels_are_their_mean() -> None:
    weights = np.zeros((1, 6, 2, 2))
    weights[0, :3, 0, 0] = 1.0
    sheet = filter_sheet(weights, ["red", "green", "blue"])
    assert sheet[2, 2].tolist() == [255, 255, 255]
    assert sheet[2, 40].tolist() == [128, 128, 128]


def test_only_so_many_filters_are_shown() -> None:
    assert filter_sheet(np.ones((100, 3, 1, 1)), ["a", "b", "c"], most=8).shape[0] == 48


def test_heat_is_red_where_it_is_most_and_blue_where_there_is_none() -> None:
    picture = heat_image(np.full((1, 2, 3), 100, np.uint8), np.array([[0.0, 4.0]]))
    cold, hot = picture[0].astype(int)
    assert cold[2] > cold[0]
    assert hot[0] > hot[2]


def test_no_heat_at_all_is_all_cold() -> None:
    picture = heat_image(np.full((2, 2, 3), 100, np.uint8), np.zeros((2, 2)))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1
