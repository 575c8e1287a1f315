"""Change detection: one class of change per pixel from two dates."""

from typing import ClassVar

from eoseg.errors import DataError
from eoseg.models import Kind
from eoseg.tasks.class_task import ClassTask


class ChangeTask(ClassTask):
    """Train a network to say what changed between two dates.

    With two classes the first is "no change". The checkpoint is then chosen by the F1 of change, because the
    mean over both says little where change is rare, and the threshold by the validation split.
    """

    kind: ClassVar[Kind] = "change"
    default_arch: ClassVar[str] = "fc_siam_diff"

    @property
    def monitor(self) -> str:  # type: ignore[override]
        """The F1 of change; with more classes, the mean IoU."""
        return "val/change_f1" if len(self.schema.classes) == 2 else "val/miou"

    def figures(self, stage: str) -> dict[str, float | None]:
        """Those of all classes, and the F1 of change.

        Raises:
            DataError: A split without any change is to choose the checkpoint, or one without any label.
        """
        figures = super().figures(stage)
        if len(self.schema.classes) == 2:
            figures["change_f1"] = self.scores(stage).classes[1].f1
            if figures["change_f1"] is None and stage == "val" and self.trainer.state.fn == "fit":
                raise DataError(
                    f"The val split holds no pixel of '{self.schema.class_names[1]}', so that it can choose "
                    "neither checkpoint nor threshold. Change the split."
                )
        return figures
