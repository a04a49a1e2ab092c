"""docs/notebook.ipynb runs from its first cell to its last, in a kernel of its own."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_own_photographs_in_fifteen_cells():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(ROOT / "docs/notebook.ipynb", as_version=4)
    assert len(notebook.cells) == 15
    assert not any(cell.get("outputs") for cell in notebook.cells)  # Those of one machine are no one else's.
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}}).execute()
    printed = ["".join(output.get("text", "") for output in cell.get("outputs", ())) for cell in notebook.cells]
    assert "% of 40 test images; each class: [" in "".join(printed)
    # Temple and flower differ in colour alone: half of them are right by chance.
    accuracy = float(printed[13].split("the best epoch: ")[1].split("%")[0])
    assert accuracy > 70
