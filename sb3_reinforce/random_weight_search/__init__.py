"""RandomWeightSearch, the baseline that guesses."""

from sb3_reinforce.random_weight_search.random_weight_search import RandomWeightSearch

__all__ = ["RandomWeightSearch"]
