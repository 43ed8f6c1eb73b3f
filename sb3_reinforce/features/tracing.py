"""Graphs that torch records of a module, to run them without Python."""

import torch as th


def is_recorded() -> bool:
    """
    :return: Whether what runs now is recorded into a graph that will run without Python: by ``torch.jit.trace``,
        ``torch.onnx.export`` or ``torch.export``. (``torch.compile`` is none of these: it comes back to Python.)
    """
    is_exporting = getattr(th.compiler, "is_exporting", None)  # from torch 2.7 on
    is_tracing: bool = th.jit.is_tracing()  # type: ignore[attr-defined]
    return is_tracing or (is_exporting is not None and is_exporting())
