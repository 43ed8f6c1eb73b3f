"""Features of observations, and of observations and actions."""

from sb3_reinforce.features.fixed_features import FixedFeatures
from sb3_reinforce.features.fourier_basis import FourierBasis
from sb3_reinforce.features.normalized_observations import NormalizedObservations
from sb3_reinforce.features.random_fourier_features import RandomFourierFeatures
from sb3_reinforce.features.tile_coding import TileCoding

__all__ = ["FixedFeatures", "FourierBasis", "NormalizedObservations", "RandomFourierFeatures", "TileCoding"]
