"""How often environments have been stepped or reset, by whomever."""

from typing import Any

from stable_baselines3.common.vec_env import VecEnv


class Moves:
    """The count, shared by all that look at the same environments."""

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
        self.replacement = vars(owner).get(name)  # somebody else's
        setattr(owner, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.moves.n_moves += 1
        if self.replacement is not None:
            return self.replacement(*args, **kwargs)
        return self.function(self.owner, *args, **kwargs)


def count_moves(env: VecEnv) -> Moves:
    """
    Count from now on what moves the environments. Where they are in this process, it is the innermost ones that are looked at,
    so that it makes no difference through which wrapper, or by which copy of a VecEnv, somebody comes.

    :param env: Any VecEnv.
    :return: The count: that of whoever began to count before.
    """
    innermost = env.unwrapped
    inside = getattr(innermost, "envs", None) or getattr(getattr(innermost, "vector_env", None), "envs", None)
    if inside:
        try:
            return _count([each.unwrapped for each in inside], ("step", "reset"))
        except (AttributeError, TypeError):  # no environment of Python's, perhaps
            pass
    return _count([innermost], ("step_async", "reset"))


def _count(owners: list[Any], names: tuple[str, ...]) -> Moves:
    already = vars(owners[0]).get(names[0])
    moves = already.moves if isinstance(already, _Counted) else Moves()
    for owner in owners:
        if not isinstance(vars(owner).get(names[0]), _Counted):
            for name in names:
                _Counted(owner, name, moves)
    return moves
