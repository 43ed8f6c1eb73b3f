"""Features of observations, and of observations and actions."""

from sb3_reinforce.features.fixed_features import FixedFeatures
from sb3_reinforce.features.fourier_basis import FourierBasis
from sb3_reinforce.features.tile_coding import TileCoding

__all__ = ["FixedFeatures", "FourierBasis", "TileCoding"]
