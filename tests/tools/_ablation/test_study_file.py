"""Studies in files: what they hold, and what is refused."""

import json

import pytest

from mpl_tf.base.errors import UsageError
from tools import ablation
from tools._ablation import studies, study_file


def written(folder, study):
    """Path of a study as text or as what JSON writes."""
    path = folder / "mine.json"
    path.write_text(study if isinstance(study, str) else json.dumps(study))
    return str(path)


def test_rows_begin_with_the_flags_of_all_and_are_compared_with_the_first_or_as_said(tmp_path):
    rows = {"a": ["--mu=1"], "b": ["--mu=2", "--seed=3"], "c": []}
    path = written(tmp_path, {"rows": rows, "flags": ["--method=uda"], "references": {"c": "b"}})
    assert studies.rows(path) == {
        "a": ["--method=uda", "--mu=1"],
        "b": ["--method=uda", "--mu=2", "--seed=3"],
        "c": ["--method=uda"],
    }
    assert [studies.reference(path, name) for name in rows] == ["a", "a", "b"]
    assert studies.common(path) == ["--method=uda"]
    assert list(ablation._rows(path, "c")) == ["b", "c"]


def test_the_example_is_one(tmp_path):
    path = written(tmp_path, study_file.EXAMPLE)
    assert studies.rows(path)["on"] == ["--method=mpl", "--feedback=exact"]


def test_a_study_of_ones_own_goes_from_its_file_to_its_table(tmp_path, monkeypatch):
    asked = {}

    def sweep(arguments, seeds, folder, core):
        """In place of the runs: what they leave."""
        asked[folder.name] = arguments
        scores = {"top1": 0.75 if folder.name == "strong" else 0.5, "loss": 1.0, "n": 100}
        for seed in seeds:
            (folder / f"seed{seed}").mkdir(parents=True)
            found = {"test": scores, "num_labeled": 50, "means": {}, "seconds": 5.0}
            (folder / f"seed{seed}" / "results.json").write_text(json.dumps(found))
            (folder / f"seed{seed}" / "metrics.csv").write_text("step,accuracy\n2,0.5\n")

    monkeypatch.setattr(ablation, "_sweep", sweep)
    rows = {"plain": ["--method=supervised"], "strong": ["--method=randaugment"]}
    path = written(tmp_path, {"rows": rows, "flags": ["--mu=3"]})
    assert ablation.main([f"--study={path}", "--seeds=0,1", f"--output={tmp_path / 'out'}"]) == 0
    assert asked == {name: ["--dataset=digits_50", "--mu=3", *flags] for name, flags in rows.items()}
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| strong | 2 | 75.00 ± 0.00 | plain | +25.00 (+25.00 to +25.00) | 0.5 |" in text
    assert f"--study={path} " in text
    assert "Flags of every row: `--mu=3`" in text


@pytest.mark.parametrize(
    ("study", "told"),
    [
        ("{", "expected JSON"),
        ([], '"rows"'),
        ({"rows": {}}, '"rows"'),
        ({"rows": {"a": []}, "seeds": []}, "'seeds'"),
        ({"rows": {"a": "--mu=1"}}, "'a', got '--mu=1'"),
        ({"rows": {"a": ["mu=1"]}}, "got ['mu=1']"),
        ({"rows": {"a": []}, "flags": [1]}, "'flags', got [1]"),
        ({"rows": {"a": []}, "references": ["a"]}, "got ['a']"),
        ({"rows": {"a": []}, "references": {"a": "b"}}, "got 'b'"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, study, told):
    path = written(tmp_path, study)
    with pytest.raises(UsageError) as refused:
        studies.rows(path)
    assert str(refused.value).startswith("--study: ") and path in str(refused.value) and told in str(refused.value)


def test_neither_a_study_nor_a_file_is_told_the_nearest_name():
    with pytest.raises(UsageError, match="expected one of feedback, .*got metods; did you mean methods?"):
        studies.rows("metods")
