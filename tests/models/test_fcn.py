"""FCN fuses from coarse to fine."""

import torch
from network_factory import BANDS, make_image, make_network


def test_fcn_starts_from_the_scores_of_its_coarsest_level():
    fine, coarse = (
        make_network("fcn", BANDS[3]).eval(),
        make_network("fcn", BANDS[3], args={"stride": 32}).eval(),
    )
    coarse.load_state_dict(fine.state_dict(), strict=False)
    image, valid = make_image(3, 96, 96, batch=1)
    with torch.inference_mode():
        difference = fine(image, valid) - coarse(image, valid)
    assert difference.abs().max() < fine(image, valid).std()  # two steps of interpolation against one
