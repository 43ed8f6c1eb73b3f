"""Policies as ONNX and TorchScript files, to run them without Python or without torch."""

import io
import logging
import pathlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from sb3_reinforce.common.constraints import PATH, Test, check_arguments
from sb3_reinforce.common.extras import needs
from sb3_reinforce.common.observations import Observations
from sb3_reinforce.common.saving import write_atomically
from sb3_reinforce.sharing.recorded_policy import (
    RecordedPolicy,
    as_tensors,
    check_graph,
    examples,
    failure_explained,
    recordable,
)

OBSERVATION, ACTION = "observation", "action"
"""Names of an ONNX graph's input (those of a Dict observation have its keys) and output."""
_TRACER_WARNING: type[Warning] = th.jit.TracerWarning  # type: ignore[attr-defined]
ARGUMENTS = {
    "model": [Test("a model of an SB3 algorithm", lambda value: isinstance(value, BaseAlgorithm))],
    "path": [PATH],
    "normalization": [Test("None or a VecNormalize", lambda value: value is None or isinstance(value, VecNormalize))],
}


def export_onnx(model: BaseAlgorithm, path: str | pathlib.Path, normalization: VecNormalize | None = None) -> pathlib.Path:
    """
    Write a policy as an ONNX graph, which ONNX Runtime runs without torch, in many languages. The graph takes a batch of
    observations, of any size, and returns what ``model.predict(observations, deterministic=True)`` returns: Box actions
    clipped to their bounds, in the type of the action space, but for the rounding of float32: about one part in a million.
    Before it is written, it is compared with ``predict``::

        export_onnx(model, "policy.onnx")
        session = onnxruntime.InferenceSession("policy.onnx")
        (actions,) = session.run(None, {"observation": observations})  # with a Dict space: its keys

    Images are as ``model.observation_space`` has them, with channels first.

    :param model: A model of REINFORCE, RandomWeightSearch or any other SB3 algorithm.
    :param path: Where to write. It holds either its old content or all of the new.
    :param normalization: With a VecNormalize, the graph takes observations that are not normalized, and normalizes them with
        its statistics. None for a graph that takes what ``predict`` takes.
    :return: The path.
    :raises ExportError: If the policy can't be recorded (with ``phi``, with action masks, or because its code decides by
        numbers), or the graph does something else than the policy. A ValueError.
    :raises ImportError: If onnx, onnxscript or onnxruntime is missing.
    :raises OSError: If the file can't be written.
    """
    check_arguments(ARGUMENTS, locals(), "export_onnx")
    with needs("export", "export_onnx"):
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    keys = list(getattr(model.observation_space, "spaces", [OBSERVATION]))
    with recordable(model, normalization) as policy:
        content = _onnx_graph(policy, as_tensors(examples(model.observation_space, 2)), keys)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

        def run(observations: Observations) -> np.ndarray:
            inputs: Any = observations if isinstance(observations, dict) else {OBSERVATION: observations}
            taken = {given.name for given in session.get_inputs()}  # what the policy does not look at is no input
            return session.run(None, {name: value for name, value in inputs.items() if name in taken})[0]

        check_graph(model, normalization, run)
    return _written(path, content)


def _onnx_graph(policy: RecordedPolicy, observations: Any, keys: list[str]) -> bytes:
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    batch = th.export.Dim("batch")
    sizes = {key: {0: batch} for key in observations} if isinstance(observations, dict) else {0: batch}
    with failure_explained(), _quietly():
        recorded = th.export.export(policy, (observations,), dynamic_shapes=(sizes,))
        names: dict[str, Any] = {"input_names": keys, "output_names": [ACTION]}
        # optimize=True would fold batch norms into the weights before them, which rounds in other places than predict does
        program = th.onnx.export(recorded, (observations,), dynamo=True, optimize=False, verbose=False, **names)
        assert program is not None
        fold_constants(program.model)
        remove_unused_nodes(program.model)
        return program.model_proto.SerializeToString()


def export_torchscript(
    model: BaseAlgorithm, path: str | pathlib.Path, normalization: VecNormalize | None = None
) -> pathlib.Path:
    """
    Write a policy as TorchScript, which libtorch runs without Python::

        export_torchscript(model, "policy.pt")
        actions = torch.jit.load("policy.pt")(torch.as_tensor(observations))  # with a Dict space: a dict of tensors

    It does the same as the graph of :func:`export_onnx`.

    :param model: A model of REINFORCE, RandomWeightSearch or any other SB3 algorithm.
    :param path: Where to write. It holds either its old content or all of the new.
    :param normalization: See :func:`export_onnx`.
    :return: The path.
    :raises ExportError: As :func:`export_onnx` does.
    :raises OSError: If the file can't be written.
    """
    check_arguments(ARGUMENTS, locals(), "export_torchscript")
    with recordable(model, normalization) as policy:
        example = as_tensors(examples(model.observation_space, 2))
        with failure_explained(), _quietly():
            warnings.filterwarnings("error", category=_TRACER_WARNING)  # something would be a constant in the graph
            script = th.jit.freeze(th.jit.trace(policy, (example,), check_trace=False), optimize_numerics=False)
            content = io.BytesIO()
            th.jit.save(script, content)
        check_graph(model, normalization, lambda observations: script(as_tensors(observations)).numpy())
    return _written(path, content.getvalue())


def _written(path: str | pathlib.Path, content: bytes) -> pathlib.Path:
    path = pathlib.Path(path)
    write_atomically(path, content)
    return path


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch says of itself: of its deprecations, and of packages that no policy needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
