"""The page of the campaign: its counts, and what it shows of the bad ends."""

from tools._faults import page


def row(method, kind, outcome, why=""):
    return dict(zip(page.COLUMNS, (method, kind, "fault 1", outcome, "1.0", why), strict=True))


def test_counts_and_messages(tmp_path):
    rows = [
        row("mpl", "kills", "recovered"),
        row("mpl", "kills", "recovered"),
        row("mpl", "damage", "refused", "file 12 is damaged"),
        row("mpl", "damage", "refused", "file 7 is damaged"),
        row("uda", "damage", "wrong", "other student.keras"),
    ]
    page.write(rows, tmp_path / "table.md", "the command")
    text = (tmp_path / "table.md").read_text()
    assert text.startswith("# 5 faults\n\n`the command`")
    assert "| mpl | kills | 2 | 2 | 0 | 0 | 0 |" in text
    assert "| mpl | damage | 2 | 0 | 2 | 0 | 0 |" in text
    assert "| uda | damage | 1 | 0 | 0 | 0 | 1 |" in text
    assert "| all |  | 5 | 2 | 2 | 0 | 1 |" in text
    assert "- 2 times: file N is damaged" in text
    assert "- uda, damage, fault 1: wrong: other student.keras" in text
    assert page.failed(rows)
    assert not page.failed(rows[:4])
    assert page.failed([row("mpl", "kills", "unexpected")])


def test_nothing_went_wrong(tmp_path):
    page.write([row("mpl", "kills", "recovered")], tmp_path / "table.md", "")
    assert "## Unexpected or wrong\n\nNone.\n" in (tmp_path / "table.md").read_text()
