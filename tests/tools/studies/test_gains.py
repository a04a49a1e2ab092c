"""The page of gains: differences by hand, corrected together, and runs that are not there."""

import csv

from PIL import Image

from tools.studies import gains


def write(folder, asked, **tops):
    """A study's runs.csv: of each row its top-1 in thousandths by seed, 0.5 where none are given."""
    folder.mkdir(parents=True)
    names = {name for _, *pair in asked for name in pair}
    with open(folder / "runs.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "seed", "top1", "examples"])
        writer.writeheader()
        # The last seed first: runs are paired by their seeds, not by their order.
        for name in names:
            for seed in reversed(range(8)):
                top1 = tops.get(name, [500] * 8)[seed] / 1000
                writer.writerow({"name": name, "seed": seed, "top1": top1, "examples": 1000})


def test_gains_by_hand(tmp_path):
    for place, asked in gains.PAGES["gains"].values():
        write(tmp_path / place, asked, exact=[510, 520, 530, 540, 550, 560, 570, 580])
    assert gains.main([f"--results={tmp_path}", f"--output={tmp_path}"]) == 0
    lines = (tmp_path / "gains.md").read_text().splitlines()
    # Differences 1 to 8 points: mean 4.5, sd 2.449, t(7) 2.365: 4.5 +- 2.05; p = 2 / 2^8, three such rows of 22.
    number = sum(len(asked) for _, asked in gains.PAGES["gains"].values())
    assert number == 22
    expected = "| 40 labels | exact feedback | 8 | 50.00 | 54.50 | +4.50 (+2.45 to +6.55) | 0.0078 | 0.17 |"
    assert expected in lines
    assert "| 40 labels | unlabeled images by UDA | 8 | 50.00 | 50.00 | +0.00 (+0.00 to +0.00) | 1 | 1 |" in lines
    assert "for these 22 differences" in lines[-1]
    assert Image.open(tmp_path / "gains.png").size[0] > 500


def test_digits_have_a_page_of_their_own(tmp_path):
    for place, asked in gains.PAGES["digits"].values():
        write(tmp_path / place, asked, **{"exact, balance 1": [510, 520, 530, 540, 550, 560, 570, 580]})
    assert gains.main([f"--results={tmp_path}", f"--output={tmp_path}", "--page=digits"]) == 0
    lines = (tmp_path / "digits.md").read_text().splitlines()
    # A difference of each study has p = 2 / 2^8, times 28.
    line = "exact feedback beside balance 1 | 8 | 50.00 | 54.50 | +4.50 (+2.45 to +6.55) | 0.0078 | 0.22 |"
    assert all(f"| {study} | {line}" in lines for study in gains.PAGES["digits"])
    assert "for these 28 differences" in lines[-1]
    assert not (tmp_path / "gains.md").exists()


def test_runs_that_are_not_there_are_told_in_one_line(tmp_path, capsys):
    assert gains.main([f"--results={tmp_path}", f"--output={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--results" in line and "photographs/40/runs.csv" in line
    for place, asked in gains.PAGES["gains"].values():
        write(tmp_path / place, asked[1:])
    assert gains.main([f"--results={tmp_path}", f"--output={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected runs of" in line
