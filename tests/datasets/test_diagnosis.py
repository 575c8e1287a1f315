import json

from eoseg.datasets.diagnosis import BandFacts, Diagnosis, SplitFacts
from eoseg.recipe import BandStatistics


def test_only_errors_prevent_training():
    diagnosis = Diagnosis()
    diagnosis.warn("look at this")
    assert not diagnosis.has_errors
    diagnosis.fail("this cannot work")
    assert diagnosis.has_errors
    assert [problem.level for problem in diagnosis.problems] == ["warning", "error"]


def test_everything_is_plain_for_json():
    diagnosis = Diagnosis(
        bands=[BandFacts(BandStatistics("B", 1, 1, 0, 0, 2, 3), "8 bit")],
        splits=[SplitFacts("train", 1, 1, 100, 90, (50, 40), 4)],
    )
    diagnosis.warn("x")
    values = json.loads(json.dumps(diagnosis.to_dict()))
    assert values["bands"][0]["statistics"]["high"] == 2
    assert values["splits"][0]["class_pixels"] == [50, 40]
    assert values["problems"] == [{"level": "warning", "text": "x"}]
