"""To share what was learned: exports of policies, the Hugging Face Hub, experiment trackers."""

from sb3_reinforce.sharing.card import hyperparameters
from sb3_reinforce.sharing.export import export_onnx, export_torchscript
from sb3_reinforce.sharing.hub import load_from_hub, package_to_hub, push_to_hub
from sb3_reinforce.sharing.package import write_package
from sb3_reinforce.sharing.recorded_policy import ExportError
from sb3_reinforce.sharing.tracking import TrackingCallback
from sb3_reinforce.sharing.weights import load_weights, save_weights

__all__ = [
    "ExportError",
    "TrackingCallback",
    "export_onnx",
    "export_torchscript",
    "hyperparameters",
    "load_from_hub",
    "load_weights",
    "package_to_hub",
    "push_to_hub",
    "save_weights",
    "write_package",
]
