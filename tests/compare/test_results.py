import dataclasses
import datetime
import errno
import io
import json
import pathlib
import shutil
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from sb3_reinforce.compare import results
from sb3_reinforce.compare.plan import RunName
from sb3_reinforce.compare.results import (
    is_finished,
    keep,
    open_folder,
    read_results,
    read_times,
    when_finished,
    write_table,
)
from sb3_reinforce.compare.run import Outcome
from tests.compare.tiny import plan


def outcome(name: RunName, scores: list[list[float]]) -> Outcome:
    """As a run would leave it, with an evaluation every 10 timesteps."""
    content = io.BytesIO()
    timesteps = 10 * np.arange(1, len(scores) + 1)
    np.savez(content, timesteps=timesteps, results=scores, ep_lengths=np.full_like(scores, 5, dtype=int))
    files = {"evaluations.npz": content.getvalue(), "CartPole-v1/config.yml": b"{}"}
    return Outcome(name, 1.5, files, n_cut_off=list(range(len(scores))))


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Of a comparison of two algorithms with the seeds 2 and 10."""
    open_folder(tmp_path / "folder", plan(("reinforce", "a2c"), seeds=[10, 2]))
    return tmp_path / "folder"


def files(folder: pathlib.Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_one_sorted_row_for_each_evaluation(folder: pathlib.Path) -> None:
    for algo, seed, scores in (
        ("reinforce", 10, [[1.0, 2.0]]),
        ("a2c", 10, [[5.0, 5.0]]),
        ("a2c", 2, [[3.0, 4.0], [8.0, 0.0]]),
    ):
        keep(folder, outcome(RunName(algo, "CartPole-v1", seed), scores))
    expected = [
        ("a2c", "CartPole-v1", 2, 10, 3.5, 0.5, 5.0, 2, 0),
        ("a2c", "CartPole-v1", 2, 20, 4.0, 4.0, 5.0, 2, 1),
        ("a2c", "CartPole-v1", 10, 10, 5.0, 0.0, 5.0, 2, 0),
        ("reinforce", "CartPole-v1", 10, 10, 1.5, 0.5, 5.0, 2, 0),
    ]
    table = read_results(folder)
    assert list(table.itertuples(index=False, name=None)) == expected
    write_table(folder / "results.csv", table)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "results.csv"), table)
    assert (folder / "results.csv").read_text().splitlines()[:2] == [
        "algo,env,seed,timesteps,mean_reward,std_reward,mean_ep_length,n_episodes,n_cut_off",
        "a2c,CartPole-v1,2,10,3.5,0.5,5.0,2,0",
    ]
    assert read_times(folder).to_dict("list") == {
        "algo": ["a2c", "a2c", "reinforce"],
        "env": ["CartPole-v1"] * 3,
        "seed": [2, 10, 10],
        "seconds": [1.5] * 3,
    }


def test_before_any_run_has_finished(folder: pathlib.Path) -> None:
    assert read_results(folder).empty
    assert list(read_results(folder).columns) == results.COLUMNS
    assert read_times(folder).empty


def test_a_run_is_kept_whole(folder: pathlib.Path) -> None:
    name = RunName("a2c", "CartPole-v1", 2)
    assert not is_finished(folder, name)
    keep(folder, outcome(name, [[1.0]]))
    assert is_finished(folder, name)
    run = {f"a2c/CartPole-v1_2/{file}" for file in ("evaluations.npz", "CartPole-v1/config.yml", "run.json")}
    assert files(folder) == {"plan.json", *run}
    assert {path.name for path in folder.iterdir()} == {"plan.json", "a2c"}


def test_when_a_run_has_finished_is_kept_also_if_the_folder_is_copied(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    name = RunName("a2c", "CartPole-v1", 2)
    before = datetime.datetime.now().astimezone().replace(microsecond=0)
    keep(folder, outcome(name, [[1.0]]))
    after = datetime.datetime.now().astimezone()
    assert before <= when_finished(folder, name) <= after
    shutil.copytree(folder, tmp_path / "copy")
    assert when_finished(tmp_path / "copy", name) == when_finished(folder, name)


@pytest.mark.parametrize("n_written", [0, 1, 2])
def test_or_not_at_all(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, n_written: int) -> None:
    write = results.write_atomically
    written: list[pathlib.Path] = []

    def write_to_full_disk(path: pathlib.Path, content: bytes) -> None:
        if len(written) == n_written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        write(path, content)

    monkeypatch.setattr(results, "write_atomically", write_to_full_disk)
    name = RunName("a2c", "CartPole-v1", 2)
    with pytest.raises(OSError, match="No space left"):
        keep(folder, outcome(name, [[1.0]]))
    assert len(written) == n_written
    assert files(folder) == {"plan.json"}
    assert not is_finished(folder, name)
    monkeypatch.undo()
    keep(folder, outcome(name, [[1.0]]))
    assert is_finished(folder, name)


def test_killed_while_it_keeps_a_run(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any, **__: Any) -> NoReturn:
        raise SystemExit

    name = RunName("a2c", "CartPole-v1", 2)
    monkeypatch.setattr(pathlib.Path, "rename", killed)
    monkeypatch.setattr(results.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(SystemExit):
        keep(folder, outcome(name, [[1.0]]))
    monkeypatch.undo()
    assert not is_finished(folder, name)
    assert read_results(folder).empty
    assert len(files(folder)) == 4
    open_folder(folder, plan(("reinforce", "a2c"), seeds=[10, 2]))
    assert files(folder) == {"plan.json"}


def test_failures_are_kept_until_it_is_tried_again(folder: pathlib.Path) -> None:
    keep(folder, Outcome(RunName("a2c", "CartPole-v1", 2), error="Traceback\nError: boom"))
    assert (folder / "failures" / "a2c-CartPole-v1_2.txt").read_text() == "Traceback\nError: boom"
    assert read_results(folder).empty
    open_folder(folder, plan(("reinforce", "a2c"), seeds=[10, 2]))
    assert files(folder) == {"plan.json"}


def test_a_folder_with_another_plan_is_refused(folder: pathlib.Path) -> None:
    before = (folder / "plan.json").read_bytes()
    with pytest.raises(ValueError, match=r"another plan: seeds was \[2, 10\] there, and is \[2\] now"):
        open_folder(folder, plan(("reinforce", "a2c"), seeds=[2]))
    own = {"reinforce": {"default": {"policy": "LinearSoftmaxPolicy", "n_episodes": 5}}}
    says = "hyperparameters reinforce CartPole-v1 n_episodes was 4 there, and is 5 now. Choose another folder"
    with pytest.raises(ValueError, match=says):
        open_folder(folder, plan(("reinforce", "a2c"), seeds=[10, 2], hyperparams={"a2c": plan_of("a2c"), **own}))
    assert (folder / "plan.json").read_bytes() == before


def plan_of(algo: str) -> Any:
    return {"default": plan((algo,)).runs[0].hyperparameters}


def test_so_is_one_whose_code_was_another(folder: pathlib.Path) -> None:
    held = json.loads((folder / "plan.json").read_text())
    comparison = plan(("reinforce", "a2c"), seeds=[10, 2])
    comparison = dataclasses.replace(comparison, code={"room": "b", "walls": "c"})
    (folder / "plan.json").write_text(json.dumps({**held, "code": {"room": "a", "walls": "c"}}))
    with pytest.raises(ValueError, match=r"another plan: the source of room has changed since\. Choose another folder"):
        open_folder(folder, comparison)
    # A package that was not installed then
    (folder / "plan.json").write_text(json.dumps({**held, "code": {"room": "b"}}))
    open_folder(folder, comparison)
    assert json.loads((folder / "plan.json").read_text())["code"] == {"room": "b", "walls": "c"}


def test_so_is_one_of_before_untrained_policies_were_evaluated(folder: pathlib.Path) -> None:
    keep(folder, outcome(RunName("a2c", "CartPole-v1", 2), [[1.0]]))
    held = json.loads((folder / "plan.json").read_text())
    assert held.pop("first_evaluation") == 0
    (folder / "plan.json").write_text(json.dumps(held))
    with pytest.raises(ValueError, match=r"another plan: its runs were not evaluated before training.*Choose another folder"):
        open_folder(folder, plan(("reinforce", "a2c"), seeds=[10, 2]))
    assert len(read_results(folder)) == 1  # what is there can be read


def test_so_is_one_of_other_versions(folder: pathlib.Path) -> None:
    held = json.loads((folder / "plan.json").read_text())
    held["versions"]["torch"] = "0.1"
    (folder / "plan.json").write_text(json.dumps(held))
    with pytest.raises(ValueError, match=r"versions torch was 0\.1 there"):
        open_folder(folder, plan(("reinforce", "a2c"), seeds=[10, 2]))


def test_but_not_one_that_a_package_has_come_to_or_gone_from(folder: pathlib.Path) -> None:
    comparison = plan(("reinforce", "a2c"), seeds=[10, 2])
    held = json.loads((folder / "plan.json").read_text())
    held["versions"] = {**held["versions"], "gone": "3.0"}
    del held["versions"]["pygame"]
    (folder / "plan.json").write_text(json.dumps(held))
    open_folder(folder, comparison)
    now = json.loads((folder / "plan.json").read_text())["versions"]
    assert now == {**comparison.as_dict()["versions"], "gone": "3.0"}
    (folder / "plan.json").write_text(json.dumps({**held, "versions": {**now, "pygame": "0.1"}}))
    with pytest.raises(ValueError, match=r"versions pygame was 0\.1 there"):
        open_folder(folder, comparison)


def test_and_one_that_holds_something_else(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a2c").mkdir()
    with pytest.raises(ValueError, match="holds something else than a comparison"):
        open_folder(tmp_path, plan())
    (tmp_path / "a2c").rmdir()
    open_folder(tmp_path, plan())
    open_folder(tmp_path, plan())
    assert files(tmp_path) == {"plan.json"}
