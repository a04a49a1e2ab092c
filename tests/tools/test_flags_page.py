"""docs/flags.md is what the classes of flags say today, and leaves no program out."""

import ast
import re
from pathlib import Path

from tools import flags_page

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_page_is_as_new_as_the_flags():
    written = (ROOT / "docs/flags.md").read_text()
    assert written == flags_page.page(), "docs/flags.md is old: write it anew with `python -m tools.flags_page`"


def test_the_command_writes_it(tmp_path):
    assert flags_page.main([f"--output={tmp_path / 'flags.md'}"]) == 0
    assert (tmp_path / "flags.md").read_text() == flags_page.page()


def test_no_program_is_left_out():
    found = set()
    for path in (ROOT / "tools").rglob("*.py"):
        names = {
            node.targets[0].id
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        if "COMMAND" in names:
            found.add(".".join(path.relative_to(ROOT / "tools").with_suffix("").parts))
    assert found == set(flags_page.PROGRAMS)


def test_a_row_tells_all_that_is_known_of_a_flag():
    rows = {row.split("|")[1].strip(): row for row in flags_page.page().splitlines() if row.startswith("| `--")}
    assert rows["`--uda_threshold`"] == (
        "| `--uda_threshold` | smallest confidence that counts, with uda and mpl after the sharpening; 0: all count "
        "| 0.6 | 0 to 1 |  | released CIFAR-10-4K hyper-parameters: 0.6; fixmatch: 0.95 |"
    )
    assert rows["`--core_memory`"] == (
        "| `--core_memory` | memory of a core; 0: that of --device | 0.0 | at least 0 | GiB |  |"
    )
    assert all(len(re.findall(r"(?<!\\)\|", row)) == len(flags_page.COLUMNS) + 1 for row in rows.values())
