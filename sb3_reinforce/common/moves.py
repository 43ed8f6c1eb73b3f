"""How often environments have been stepped or reset, by whomever."""

from contextlib import suppress
from typing import Any

from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv


class Moves:
    """The count, shared by all that look at the same environments. A VecEnv may have one, ``moves``, and count itself."""

    n_moves = 0


class _Counted:
    """
    A method that counts its calls. An object, so that its owner can be copied and pickled.

    :param owner: An environment or a VecEnv.
    :param name: The method.
    :param moves: The count.
    """

    def __init__(self, owner: Any, name: str, moves: Moves) -> None:
        self.owner, self.moves = owner, moves
        self.function = getattr(type(owner), name)
        self.replacement = replacement_of(owner, name)  # somebody else's
        setattr(owner, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self.function(self.owner, *args, **kwargs) if self.replacement is None else self.replacement(*args, **kwargs)
        self.moves.n_moves += 1  # what has failed has moved nothing
        return result


def replacement_of(owner: Any, name: str) -> Any | None:
    """
    Without a look into ``__dict__``: with Python before 3.13, whatever is looked into is slower from then on, and environments
    are stepped slower by a tenth.

    :param owner: An environment or a VecEnv.
    :param name: A method of its class.
    :return: What stands in its place in this object alone; None if nothing does.
    """
    method = getattr(owner, name)
    is_of_class = getattr(method, "__func__", None) is getattr(type(owner), name) and method.__self__ is owner
    return None if is_of_class else method


def count_moves(env: VecEnv) -> Moves:
    """
    Count from now on what moves the environments: steps (but see :func:`keeps_actions`) and resets of the VecEnv, and, where
    the environments inside are in this process, their resets, through whichever wrapper or VecEnv somebody comes. (To count
    their steps too would cost as much as acting does; whoever evaluates begins with a reset.)

    :param env: Any VecEnv.
    :return: The count: that of whoever began to count before.
    """
    innermost = env.unwrapped
    inside = getattr(innermost, "envs", None) or getattr(getattr(innermost, "vector_env", None), "envs", None) or []
    counts_itself = isinstance(getattr(innermost, "moves", None), Moves)
    already = innermost if counts_itself else getattr(innermost, "reset", None)
    moves: Moves = getattr(already, "moves", None) or Moves()
    uncounted = [] if counts_itself else [(innermost, "reset")]
    if not counts_itself and not keeps_actions(innermost):
        uncounted.append((innermost, "step_async"))
    for owner, name in [*uncounted, *((each.unwrapped, "reset") for each in inside)]:
        if not isinstance(getattr(owner, name, None), _Counted):
            with suppress(AttributeError, TypeError):  # no environment of Python's, perhaps
                _Counted(owner, name, moves)
    return moves


def keeps_actions(env: VecEnv) -> bool:
    """
    Then its steps need not be counted, which is cheaper.

    :param env: A VecEnv.
    :return: Whether the actions of its last step, whoever took it, stand in ``env.actions``.
    """
    return type(env).step_async is DummyVecEnv.step_async and replacement_of(env, "step_async") is None
