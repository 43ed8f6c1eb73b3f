"""
Is one algorithm better than another? Many seeds, many algorithms, one report::

    from sb3_reinforce.compare import compare

    comparison = compare(["reinforce", "ppo"], ["CartPole-v1"], seeds=10, timesteps=50_000)
    print(comparison.results, comparison.report)

The same on the command line: ``python -m sb3_reinforce compare``. Needs the extra ``compare``.
"""

from sb3_reinforce.compare.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
