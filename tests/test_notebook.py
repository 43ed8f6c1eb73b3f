"""The notebook runs from top to bottom, and what is committed is what it says."""

import pathlib
import re
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
N_LESSONS = 7


def read() -> Any:
    return nbformat.read(EXAMPLES / "lessons_learnt.ipynb", as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def check_outputs(notebook: Any) -> None:
    """A figure and a number for each lesson, and nothing that a reader need not see."""
    found = outputs(notebook)
    assert not [output for output in found if output.output_type == "error"]
    assert not [output["text"] for output in found if output.output_type == "stream" and output.name == "stderr"]
    figures = [output for output in found if "image/png" in output.get("data", {})]
    assert len(figures) == N_LESSONS
    table = found[-1].data["text/markdown"]
    assert table.count("\n|") >= 1 + N_LESSONS
    assert "nan" not in table
    hand = re.search(r"by hand and LinearSoftmaxPolicy.score \| (\S+) \|", table)
    assert hand is not None
    assert float(hand[1]) < 1e-5


def test_committed_as_executed() -> None:
    notebook = read()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    check_outputs(notebook)


def test_nothing_of_the_machine_it_ran_on() -> None:
    texts = [output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in outputs(read())]
    assert not re.search(r"/(home|root|tmp|usr|work|Users)/|\.py:\d", "".join(texts))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq", "ignore::DeprecationWarning:jupyter_client")
def test_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(
        "MPLBACKEND", raising=False
    )  # EnvPool sets it when it is imported, and the kernel would show no figures
    notebook = read()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    check_outputs(notebook)
