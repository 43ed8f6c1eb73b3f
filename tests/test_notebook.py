"""The notebooks run from top to bottom in an empty folder, and what is committed is what they say."""

import pathlib
import re
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
N_FIGURES = {"lessons_learnt": 8, "policy_gradient_unit": 2, "reinforce_from_scratch": 4}
EFFORT = 0.04
"""In the cell that is tagged "parameters": as much is run as before, with fewer seeds, rollouts and repetitions."""
EACH_NOTEBOOK = pytest.mark.parametrize("name", N_FIGURES)


def read(name: str) -> Any:
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def text_of(notebook: Any) -> str:
    return "".join(output.get("text", "") for output in outputs(notebook))


def check_outputs(name: str, notebook: Any) -> None:
    """All figures, and nothing that a reader need not see."""
    found = outputs(notebook)
    assert not [output for output in found if output.output_type == "error"]
    assert not [output["text"] for output in found if output.output_type == "stream" and output.name == "stderr"]
    assert len([output for output in found if "image/png" in output.get("data", {})]) == N_FIGURES[name]
    assert not re.search(r"\bnan\b", text_of(notebook))
    if name == "lessons_learnt":
        table = found[-1].data["text/markdown"]
        assert table.count("\n|") > N_FIGURES[name]
        hand = re.search(r"by hand and LinearSoftmaxPolicy.score \| (\S+) \|", table)
        assert hand is not None
        assert float(hand[1]) < 1e-5
    else:  # the same numbers from the package
        differences = re.findall(r"Largest relative difference.*: (\S+)", text_of(notebook))
        assert differences
        assert all(float(difference) < 1e-5 for difference in differences)


def test_all_are_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == set(N_FIGURES)


@EACH_NOTEBOOK
def test_committed_as_executed(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    check_outputs(name, notebook)


@EACH_NOTEBOOK
def test_nothing_of_the_machine_it_ran_on(name: str) -> None:
    found = outputs(read(name))
    texts = [output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in found]
    assert not re.search(r"/(home|root|tmp|usr|work|Users)/|\.py:\d", "".join(texts))


def not_executed(name: str) -> Any:
    """A notebook as somebody opens it who has little time."""
    notebook = read(name)
    for cell in notebook.cells:
        cell.id = f"{name}-{cell.id}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert parameters.source.startswith("EFFORT = 1.0")
    parameters.source = f"EFFORT = {EFFORT}"
    return notebook


@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::DeprecationWarning:jupyter_client")
def test_they_run_from_top_to_bottom(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in an empty folder and without a name of the last; in one kernel, for most of its time is for importing torch."""
    # EnvPool sets it when it is imported, and the kernel would show no figures
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebooks, cells = {name: not_executed(name) for name in N_FIGURES}, []
    for name, notebook in notebooks.items():
        (tmp_path / name).mkdir()
        begin = f"%reset -f\nimport os\nos.chdir({str(tmp_path / name)!r})\ndel os"
        cells += [nbformat.v4.new_code_cell(begin), *notebook.cells]
    NotebookClient(nbformat.v4.new_notebook(cells=cells), timeout=900, kernel_name="python3").execute()
    for name, notebook in notebooks.items():
        check_outputs(name, notebook)
