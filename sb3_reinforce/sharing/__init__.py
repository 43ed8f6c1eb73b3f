"""To share what was learned: exports of policies, the Hugging Face Hub, experiment trackers."""

from sb3_reinforce.sharing.export import export_onnx, export_torchscript
from sb3_reinforce.sharing.recorded_policy import ExportError
from sb3_reinforce.sharing.tracking import TrackingCallback
from sb3_reinforce.sharing.weights import load_weights, save_weights

__all__ = [
    "ExportError",
    "TrackingCallback",
    "export_onnx",
    "export_torchscript",
    "load_weights",
    "save_weights",
]
