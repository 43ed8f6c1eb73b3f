import pathlib
from typing import Any

import pandas as pd

from sb3_reinforce.compare.hparams import write_hyperparameters
from tests.common.tensorboard.events import events_of
from tests.common.tensorboard.test_hyperparameters import hyperparameters_in
from tests.compare.tiny import plan


def test_a_row_for_each_run_that_has_finished(tmp_path: pathlib.Path) -> None:
    rows: list[dict[str, Any]] = [
        {"algo": algo, "env": "CartPole-v1", "seed": 1, "timesteps": at, "mean_reward": at / 2, "mean_ep_length": at / 4}
        for algo in ("reinforce", "a2c")
        for at in (0, 100)
    ]
    results = pd.DataFrame(rows)
    write_hyperparameters(tmp_path, plan(("reinforce", "a2c"), seeds=2), results)
    write_hyperparameters(tmp_path, plan(("reinforce", "a2c"), seeds=2), results)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2, "once, and nothing of seed 2"
    folder = tmp_path / "a2c" / "CartPole-v1_1"
    assert hyperparameters_in(folder) == {
        "algorithm": "a2c",
        "env": "CartPole-v1",
        "seed": 1,
        "policy": "MlpPolicy",
        "n_envs": 3,
        "policy_kwargs": "dict(net_arch=[8])",
        "n_timesteps": 200,
    }
    assert [(e.step, e.value) for e in events_of(folder).Scalars("eval/mean_reward")] == [(0, 0.0), (100, 50.0)]
    assert [(e.step, e.value) for e in events_of(folder).Scalars("eval/mean_ep_length")] == [(0, 0.0), (100, 25.0)]
