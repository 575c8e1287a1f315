"""Watching the operations of a pass without torch's compiler."""

from torch.utils._python_dispatch import TorchDispatchMode


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode whose `__torch_dispatch__` sees every operation.

    By default torch keeps its compiler out of such a method, and to do so imports it, which takes seconds.
    Nothing is compiled where these modes are used.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
