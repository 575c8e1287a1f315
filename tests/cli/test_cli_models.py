"""The list of models, and their options."""

import pytest

from eoseg.cli.models import main
from eoseg.errors import ConfigError
from eoseg.models import MODELS


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main("models", list(arguments))
    return capsys.readouterr().out


def test_every_model_is_listed_below_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = told(capsys).strip().split("\n\n")
    assert [block.partition(" (")[0] for block in blocks] == list(MODELS)
    for block, models in zip(blocks, MODELS.values(), strict=True):
        lines = block.splitlines()[1:]
        assert [line.split()[0] for line in lines] == list(models)
        assert all(len(line.split()) > 3 for line in lines)  # each is told in words


def test_one_kind_is_listed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "change")
    assert text.startswith("change (ChangeTask)\n  fc_ef ")
    assert "unet" not in text


def test_options_are_shown_with_their_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "unet")
    assert text.startswith("unet (segmentation): U-Net")
    assert "  depth (default 5): Number of halvings, 3 to 5." in text


def test_a_name_of_several_kinds_is_shown_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "random_forest")
    for kind in ("segmentation", "classification", "series"):
        assert f"random_forest ({kind}): Random forest" in text
    assert text.count("trees (default 100): Number of trees.") == 3


def test_a_model_without_options_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no options" in told(capsys, "perceptron")


def test_an_unknown_name_is_one_line_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no model 'unett'. Did you mean 'unet'"):
        main("models", ["unett"])


@pytest.mark.parametrize("name", sorted({name for models in MODELS.values() for name in models}))
def test_each_option_of_each_model_has_a_meaning(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    bare = [line for line in told(capsys, name).splitlines() if line.startswith("  ") and line.endswith(")")]
    assert bare == []
