"""Studies: every row's flags are valid, runs are run once, one a core, and bad flags end in one line."""

import csv
import json
import os

import pytest
from PIL import Image

from mpl_tf.settings import flags as program_flags
from mpl_tf.settings.catalogue import METHODS
from tools import ablation
from tools._ablation import long_tail, photographs, recipes, studies


@pytest.mark.parametrize("study", list(studies.STUDIES))
def test_rows_are_valid_command_lines(study, tmp_path):
    rows = studies.STUDIES[study]
    # The photographs' weights are a file that whoever runs the study gives.
    (tmp_path / "weights.npz").touch()
    of_photographs = study in photographs.STUDIES | long_tail.STUDIES | recipes.STUDIES
    given = [f"--weights={tmp_path}/weights.npz"] if of_photographs and study != "recipes_scratch" else []
    for name, arguments in rows.items():
        if not isinstance(arguments, studies.Network):
            own = [argument for argument in arguments if not argument.startswith(studies.CONTROL)]
            program_flags.parse(["--dataset=cifar10_4k" if of_photographs else "--dataset=digits_50", *given, *own])
        assert studies.reference(study, name) in rows


def test_a_remedy_of_the_long_tail_is_compared_with_its_method_and_feedback_with_none():
    rows = long_tail.STUDIES["long_tail"]
    parsed = {
        name: program_flags.parse(["--dataset=cifar10_4k", f"--weights={__file__}", *flags])
        for name, flags in rows.items()
    }
    for name, config in parsed.items():
        other = parsed[studies.reference("long_tail", name)]
        assert config.imbalance == 20 and config.num_labels == 1000
        remedies = [(one.class_weights, one.balanced_batches, one.balance_weight) for one in (config, other)]
        if name.startswith("mpl, exact"):
            assert (config.feedback, other.feedback) == ("exact", "off") and remedies[0] == remedies[1]
        else:
            assert remedies[1] == ("none", False, 0) and (config.method == other.method or remedies[0] == remedies[1])


@pytest.mark.parametrize("study", studies.FEEDBACK)
def test_feedback_is_compared_with_none_of_the_same_labels_and_objective(study):
    rows = studies.STUDIES[study]
    assert len(rows) == 9
    for name, arguments in rows.items():
        other = rows[studies.reference(study, name)]
        assert "--feedback=off" in other
        for flag in ("--pseudo_labels=soft", "--pseudo_labels=sampled", "--uda_weight=0", "--uda_weight=1"):
            assert (flag in arguments) == (flag in other)


@pytest.mark.parametrize("study", studies.FEEDBACK_DIGITS)
def test_feedback_is_set_beside_balance_and_its_controls(study):
    """Feedback beside balance is compared with that balance alone, everything else with no feedback, labels alike."""
    rows = studies.STUDIES[study]
    parsed = {
        name: program_flags.parse(["--dataset=digits_50", *(a for a in flags if not a.startswith(studies.CONTROL))])
        for name, flags in rows.items()
    }
    assert {config.num_labels for config in parsed.values()} == {50 if "_50" in study else 10}
    assert {config.uda_weight for config in parsed.values()} == {0 if "without" in study else 1}
    controls = {name for name, flags in rows.items() if any(flag.startswith(studies.CONTROL) for flag in flags)}
    assert len(controls) == len(studies.CONTROLS) == 6
    for name, config in parsed.items():
        other = parsed[studies.reference(study, name)]
        assert (config.pseudo_labels, other.feedback) == (other.pseudo_labels, "off")
        if name.startswith("exact, balance"):
            assert config.balance_weight == other.balance_weight > 0
        else:
            assert other.balance_weight == 0
        assert name not in controls or (config.feedback, config.balance_weight) == ("exact", 0)


def test_table_9s_rows_have_the_same_views_and_no_finetuning():
    parsed = {
        name: program_flags.parse(["--dataset=digits_50", *flags])
        for name, flags in studies.STUDIES["regulariser"].items()
    }
    assert list(parsed) == ["supervised", "label_smoothing", "mpl, feedback off", "mpl"]
    for config in parsed.values():
        assert (config.randaugment_ops, config.cutout, config.finetune_steps) == (0, 0, 0)
    assert [config.feedback for config in parsed.values()][2:] == ["off", "exact"]


def test_a_control_is_told_to_the_sweep_and_not_to_the_program(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(ablation.subprocess, "run", lambda command, **_: asked.append(command) or Done())

    class Done:
        returncode = 0

    ablation._sweep(["--method=mpl", "--control=minus_mean", "--mu=2"], [0, 1], tmp_path / "row", 1)
    own, arguments = asked[0][3 : asked[0].index("--")], asked[0][asked[0].index("--") + 1 :]
    assert own == ["--seeds=0,1", f"--output={tmp_path / 'row'}", "--core=1", "--control=minus_mean"]
    assert arguments == ["--method=mpl", "--mu=2"]


def test_flags_that_all_rows_have(monkeypatch):
    monkeypatch.setitem(studies.STUDIES, "x", {"a": ["--u", "--v", "--w", "--x=1"], "b": ["--w", "--v", "--x=1"]})
    assert studies.common("x") == ["--v", "--w", "--x=1"]
    # Both begin with x=1, but only one is run with it.
    monkeypatch.setitem(studies.STUDIES, "x", {"a": ["--x=1", "--v=2"], "b": ["--x=1", "--v=2", "--x=3"]})
    assert studies.common("x") == ["--v=2"]
    assert "--train_steps=500" in studies.common("feedback")


def test_rows_by_a_pattern_bring_those_they_are_compared_with():
    assert list(ablation._rows("feedback", "mean|weight 1$")) == [
        "off, sampled",
        "off, soft",
        "taylor, mean",
        "dot_product, mean",
        "exact, weight 1",
    ]
    assert list(ablation._rows("breakdown", "before")) == ["uda", "mpl before finetuning", "mpl, finetuned"]
    assert ablation._rows("methods", "") == studies.STUDIES["methods"]


@pytest.mark.parametrize("pattern", ["nothing", "("])
def test_rows_that_are_none_end_in_one_line(pattern, capsys):
    assert ablation.main(["--study=methods", f"--rows={pattern}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--rows" in line and repr(pattern) in line


@pytest.mark.slow
def test_a_finished_run_is_not_run_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(studies.STUDIES, "methods", {"a": ["--method=supervised"]})
    extra = ["--train_steps=2", "--steps_per_epoch=2", "--steps_per_execution=1", "--labeled_batch=10"]
    command = ["--study=methods", "--seeds=1,2", f"--output={tmp_path}", *(f"--extra={flag}" for flag in extra)]
    jobs = f"--jobs={min(2, len(os.sched_getaffinity(0)))}"
    assert ablation.main([*command, jobs]) == 0
    first = capsys.readouterr().out
    assert "| a | 2 |" in first
    results = tmp_path / "runs" / "a" / "seed1" / "results.json"
    written = results.stat().st_mtime_ns
    with open(tmp_path / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["seed"]) for row in rows] == [("a", "1"), ("a", "2")]
    monkeypatch.setattr(ablation, "_sweep", None)
    assert ablation.main([*command, jobs]) == 0
    assert capsys.readouterr().out in first
    assert results.stat().st_mtime_ns == written


def write_runs(study, output, seeds):
    """Finished runs of a study, as files: students at 0.8, before finetuning 0.7, and two rows of metrics."""
    for name, arguments in studies.STUDIES[study].items():
        for seed in () if isinstance(arguments, studies.Network) else seeds:
            folder = ablation._folder(name, output) / f"seed{seed}"
            folder.mkdir(parents=True)
            scores = {"top1": 0.8, "loss": 1.0, "n": 10}
            labels = int(name.split()[-2]) if study == "labels" else 50
            found = {"test": scores, "num_labeled": labels, "means": {}, "seconds": 5.0}
            found["other_networks"] = {"before_finetune": scores | {"top1": 0.7}}
            (folder / "results.json").write_text(json.dumps(found))
            (folder / "metrics.csv").write_text("step,accuracy,student_agreement\n2,0.5,0.25\n4,1.0,0.5\n")


def test_one_run_serves_both_rows_of_the_breakdown(tmp_path, monkeypatch):
    write_runs("breakdown", tmp_path, (0, 1))
    drawn = {}
    monkeypatch.setattr(ablation.figures, "over_steps", lambda curves, path: drawn.update(curves))
    assert ablation.main(["--study=breakdown", "--seeds=0,1", f"--output={tmp_path}"]) == 0
    text = (tmp_path / "table.md").read_text()
    assert "| mpl before finetuning | 2 | 70.00 ± 0.00 | uda | -10.00 (-10.00 to -10.00) | 0.5 |" in text
    assert "| mpl, finetuned | 2 | 80.00 ± 0.00 | mpl before finetuning | +10.00 (+10.00 to +10.00) | 0.5 |" in text
    assert drawn == {
        "supervised": [[(2, 0.5), (4, 1.0)]] * 2,
        "mpl's teacher": [[(2, 0.5), (4, 1.0)]] * 2,
        "mpl's student, on its pseudo labels": [[(2, 0.25), (4, 0.5)]] * 2,
    }


@pytest.mark.parametrize(("study", "figure"), [("breakdown", "training"), ("labels", "labels")])
def test_figures_are_drawn(tmp_path, study, figure):
    write_runs(study, tmp_path, (0, 1))
    assert ablation.main([f"--study={study}", "--seeds=0,1", f"--output={tmp_path}"]) == 0
    for name in ("table", figure):
        assert Image.open(tmp_path / f"{name}.png").size[0] > 500
        assert "<svg" in (tmp_path / f"{name}.svg").read_text()


def test_the_methods_study_leaves_no_method_out():
    assert set(METHODS) <= set(studies.STUDIES["methods"])


def test_a_failed_row_ends_the_study(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(studies.STUDIES, "methods", {"a": ["--method=supervised", "--nonsense"]})
    assert ablation.main(["--study=methods", "--seeds=1", f"--output={tmp_path}"]) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert "nonsense" in lines[0]
    assert lines[1].startswith("ablation: error: ")


def test_bad_flags_are_one_line(tmp_path, capsys):
    assert ablation.main(["--study=nonsense"]) == 2
    assert ablation.main(["--seeds=a-b"]) == 2
    assert ablation.main(["--jobs=999", f"--output={tmp_path}"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("ablation: error: ") for line in lines)
