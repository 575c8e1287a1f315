"""Networks that go on from pretrained weights, which the tests write themselves."""

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from task_worlds import World, batch_of, evaluate, make_schema, make_statistics, make_trainer, seeded, train

from eoseg.errors import ConfigError
from eoseg.models.checkpoint import export_checkpoint, load_network
from eoseg.recipe import Schema
from eoseg.tasks import ClassificationTask, PretrainTask, SegmentationTask, Task
from eoseg.tasks.finetune import FinetuneConfig
from eoseg.tasks.optim import OptimizerConfig, SchedulerConfig

SCHEMA = make_schema()
ENCODER = "tu-resnet10t"  # with three halvings, 0.5 million values
SMALL = {"depth": 3, "channels": 4}


def world(schema: Schema = SCHEMA, size: int = 16) -> World:
    """Chips whose class is the sign of the first band."""
    rng = seeded()
    parts = []
    for _ in range(5):
        label = rng.integers(0, 2, 4)
        image = rng.normal(0, 1, (4, len(schema.bands), size, size)) + 2 * label[:, None, None, None] - 1
        mask = label[:, None, None].repeat(size, 1).repeat(size, 2)
        parts.append(batch_of(image, mask=mask, label=label))
    return World(make_statistics(schema), parts[:3], parts[3:], chip_size=size)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of an autoencoder over the encoder of the tests."""
    folder = tmp_path_factory.mktemp("pretrained")
    task = PretrainTask(SCHEMA, 16, encoder=ENCODER, network_args={**SMALL, "mask_patch": 4})
    trainer = make_trainer(folder)
    task.use_statistics(make_statistics(SCHEMA))
    trainer.strategy.connect(task)
    trainer.save_checkpoint(folder / "start.ckpt")
    return str(folder / "start.ckpt")


def segmenter(weights: str | None, **options: Any) -> SegmentationTask:
    seeded()
    settings: dict[str, Any] = {
        "encoder": ENCODER,
        "network_args": SMALL,
        "optimizer": OptimizerConfig("AdamW", 0.01),
    }
    return SegmentationTask(SCHEMA, 16, weights=weights, **(settings | options))


def encoder_state(task: Task) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in task.network.body.encoder.state_dict().items()}  # type: ignore[union-attr]


def changed(before: dict[str, torch.Tensor], task: Task) -> set[str]:
    after = encoder_state(task)
    return {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}


def predicts_alike(task: Task, trainer: Trainer, folder: Path) -> None:
    """A checkpoint is enough to predict: nothing in it asks for how it was trained."""
    trainer.save_checkpoint(folder / "end.ckpt")
    network, _ = load_network(folder / "end.ckpt")
    batch = world().batches["val"][0]
    with torch.inference_mode():
        expected = task.eval()(batch["image"], batch["valid"])
        torch.testing.assert_close(network(batch["image"], batch["valid"]), expected, rtol=1e-4, atol=1e-5)


def test_a_frozen_encoder_stays_as_it_is(pretrained: str, tmp_path: Path) -> None:
    task = segmenter(pretrained, finetune=FinetuneConfig(freeze=True))
    before, decoder = encoder_state(task), task.network.body.decoder.state_dict()  # type: ignore[union-attr]
    decoder = {name: value.clone() for name, value in decoder.items()}
    trainer = train(task, world(), tmp_path)
    assert changed(before, task) == set()  # batch statistics included
    after = task.network.body.decoder.state_dict()  # type: ignore[union-attr]
    assert not any(torch.equal(decoder[name], after[name]) for name in decoder if name.endswith("0.weight"))
    predicts_alike(task, trainer, tmp_path)


class Watch(Callback):
    """What was trained in each epoch."""

    def __init__(self) -> None:
        self.seen: list[set[str]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.before = encoder_state(pl_module)  # type: ignore[arg-type]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append(changed(self.before, pl_module))  # type: ignore[arg-type]


def test_stages_are_opened_one_by_one_from_the_last(
    pretrained: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    task, watch = segmenter(pretrained, finetune=FinetuneConfig(unfreeze_every=2)), Watch()
    trainer = train(task, world(), tmp_path, max_epochs=7, callbacks=[watch])
    first, second, third = {"layer2"}, {"layer2", "layer1"}, {"layer2", "layer1", "conv1", "bn1"}
    assert watch.seen == [set(), set(), first, first, second, second, third]
    assert "From epoch 4 on 'model.layer1' is trained too." in caplog.text
    assert "stay as they are" not in caplog.text
    predicts_alike(task, trainer, tmp_path)


def test_a_run_that_goes_on_has_the_stages_of_its_epoch(pretrained: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "finetune": FinetuneConfig(unfreeze_every=1),
        "scheduler": SchedulerConfig("constant"),
    }
    trainer = train(segmenter(pretrained, **options), world(), tmp_path, max_epochs=2)
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    watch = Watch()
    task = segmenter(pretrained, **options)
    train(task, world(), tmp_path / "on", resume=tmp_path / "end.ckpt", max_epochs=3, callbacks=[watch])
    assert watch.seen == [{"layer2", "layer1"}]


def test_stages_that_are_never_opened_are_named(
    pretrained: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = segmenter(pretrained, finetune=FinetuneConfig(unfreeze_every=1))
    train(task, world(), tmp_path, max_epochs=2)
    assert (
        "In 2 epochs, with a stage more after each 1, model.conv1, model.layer1 of the encoder stay"
        in caplog.text
    )


@pytest.mark.slow
def test_two_processes_open_the_same_stages(pretrained: str, tmp_path: Path) -> None:
    task = segmenter(pretrained, finetune=FinetuneConfig(unfreeze_every=1))
    before = encoder_state(task)
    train(task, world(), tmp_path, max_epochs=2, devices=2, strategy="ddp_fork")
    assert changed(before, task) == {"layer2"}


def test_each_stage_learns_at_its_own_rate(pretrained: str, tmp_path: Path) -> None:
    task = segmenter(
        pretrained, finetune=FinetuneConfig(lr_decay=0.5), scheduler=SchedulerConfig("constant", warmup=0.0)
    )
    trainer = train(task, world(), tmp_path)
    groups = trainer.optimizers[0].param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.01, 0.005, 0.0025, 0.00125])
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(p) for p in task.parameters() if p.requires_grad)
    first = dict(task.named_parameters())["network.body.encoder.model.conv1.0.weight"]
    assert any(parameter is first for parameter in groups[-1]["params"])
    predicts_alike(task, trainer, tmp_path)


@pytest.mark.parametrize(("name", "key"), [("cosine", "initial_lr"), ("onecycle", "max_lr")])
def test_a_schedule_keeps_the_ratio_of_the_rates(
    pretrained: str, tmp_path: Path, name: str, key: str
) -> None:
    task = segmenter(pretrained, finetune=FinetuneConfig(lr_decay=0.5), scheduler=SchedulerConfig(name))
    trainer = train(task, world(), tmp_path, max_steps=1)
    assert [group[key] for group in trainer.optimizers[0].param_groups] == pytest.approx(
        [0.01, 0.005, 0.0025, 0.00125]
    )


def transformer_start(folder: Path) -> str:
    """A checkpoint of a ViT for chips."""
    task = ClassificationTask(SCHEMA, 16, arch="vit", network_args={"patch": 8})
    task.use_statistics(make_statistics(SCHEMA))
    trainer = make_trainer(folder)
    trainer.strategy.connect(task)
    trainer.save_checkpoint(folder / "vit.ckpt")
    return str(folder / "vit.ckpt")


def test_lora_trains_its_additions_and_leaves_checkpoints_that_need_neither_option_nor_peft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    start = transformer_start(tmp_path)
    plain = load_network(start)[0].body.state_dict()

    def adapted() -> ClassificationTask:
        seeded()
        return ClassificationTask(
            SCHEMA,
            16,
            arch="vit",
            weights=start,
            network_args={"patch": 8},
            finetune=FinetuneConfig(lora_rank=4),
            optimizer=OptimizerConfig("AdamW", 0.01),
            scheduler=SchedulerConfig("constant"),
        )

    task = adapted()
    trainer = train(task, world(), tmp_path, max_epochs=2)
    predicts_alike(task, trainer, tmp_path)
    weights = torch.load(tmp_path / "end.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(
        weights["network.body.trunk.blocks.0.attn.qkv.base_layer.weight"],
        plain["trunk.blocks.0.attn.qkv.weight"],
    )
    assert torch.equal(
        weights["network.body.trunk.blocks.0.mlp.fc1.weight"], plain["trunk.blocks.0.mlp.fc1.weight"]
    )
    model = export_checkpoint(tmp_path / "end.ckpt", tmp_path / "model.ckpt")
    assert not [name for name in torch.load(model, weights_only=True)["state_dict"] if "lora" in name]
    merged = load_network(model)[0].body.state_dict()
    assert not torch.equal(merged["trunk.blocks.0.attn.qkv.weight"], plain["trunk.blocks.0.attn.qkv.weight"])
    assert torch.equal(merged["trunk.blocks.0.mlp.fc1.weight"], plain["trunk.blocks.0.mlp.fc1.weight"])
    # The same figures from both files, under the same configuration.
    expected = evaluate(task, world(), tmp_path)["test/loss"]
    for path in (tmp_path / "end.ckpt", model):
        trainer = make_trainer(tmp_path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.test(adapted(), world(), ckpt_path=path, verbose=False, weights_only=True)
        assert float(trainer.callback_metrics["test/loss"]) == pytest.approx(expected, rel=1e-4)
    # Training goes on from the additions.
    again = adapted()
    train(again, world(), tmp_path / "on", resume=tmp_path / "end.ckpt", max_epochs=2)
    down = "network.body.trunk.blocks.0.attn.qkv.lora_A.default.weight"
    assert torch.equal(again.state_dict()[down], weights[down])


def test_new_bands_start_as_asked_for(pretrained: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    schema = make_schema(bands=("x", "thermal"))
    kernels = load_network(pretrained)[0].body.encoder.state_dict()["model.conv1.0.weight"]  # type: ignore[union-attr]
    for new_bands, expected, said in (
        ("average", kernels.mean(dim=1), "thermal from the mean of x, y"),
        ("zero", torch.zeros_like(kernels[:, 0]), "thermal from 0"),
        ("y", kernels[:, 1], "thermal from a copy of y"),
    ):
        task = SegmentationTask(
            schema,
            16,
            encoder=ENCODER,
            network_args=SMALL,
            weights=pretrained,
            finetune=FinetuneConfig(new_bands=new_bands),
        )
        own = encoder_state(task)["model.conv1.0.weight"]
        assert torch.equal(own[:, 0], kernels[:, 0])
        torch.testing.assert_close(own[:, 1], expected)
        assert f"x from the kernels of their own band; {said}" in caplog.text
    with pytest.raises(
        ConfigError, match=r"new_bands is average, zero, or one of the bands .*x, y\); found 'z'"
    ):
        segmenter(pretrained, finetune=FinetuneConfig(new_bands="z"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unfreeze_every": 0}, r"finetune.unfreeze_every is a whole number of at least 1; found 0"),
        ({"lora_rank": 0}, r"finetune.lora_rank is a whole number of at least 1"),
        ({"lr_decay": 1.0}, r"finetune.lr_decay is a factor above 0 and below 1; found 1.0"),
        (
            {"lora_alpha": 2.0},
            r"lora_alpha is a positive number, for a lora_rank; found 2.0 with lora_rank None",
        ),
        ({"lora_alpha": 0.0, "lora_rank": 2}, r"lora_alpha is a positive number"),
        ({"freeze": True, "lr_decay": 0.5}, r"finetune.freeze keeps .* so lr_decay would have no effect"),
        ({"freeze": True, "lora_rank": 4}, r"so lora_rank would have no effect"),
        ({"lora_rank": 4, "unfreeze_every": 1}, r"finetune.lora_rank keeps .* so unfreeze_every would"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(**options)


@pytest.mark.parametrize("options", [{"freeze": True}, {"new_bands": "zero"}, {"lora_rank": 4}])
def test_random_weights_are_nothing_to_go_on_from(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"but it starts from random ones. Set weights"):
        segmenter(None, finetune=FinetuneConfig(**options))
