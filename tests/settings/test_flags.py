"""From a command line to a Config: what is read over what, the recipes, config.json, and every refusal.

Covers: checks.py, config.py, config_json.py, frozen_settings.py, method_checks.py, run_settings.py, view_settings.py
"""

import dataclasses
import json
import re

import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import catalogue, config_json, flags
from mpl_tf.settings.config import Config
from mpl_tf.settings.run_settings import SCALES

FIELDS = {field.name: field for field in dataclasses.fields(Config)}
RECIPES = [(dataset, scale) for dataset in flags.known() for scale in flags.known("scale_")]

# The authors' README for CIFAR-10-4K, and the paper's section 3.2 for the forms of the feedback and the finetuning.
RELEASED = {
    "model": "wide_resnet_28_2",
    "train_steps": 300_000,
    "labeled_batch": 128,
    "mu": 7,
    "momentum": 0.9,
    "schedule": "cosine",
    "weight_decay": 5e-4,
    "clip_norm": 0,
    "student_learning_rate": 0.1,
    "student_wait_steps": 3000,
    "student_warmup_steps": 5000,
    "teacher_learning_rate": 0.1,
    "teacher_warmup_steps": 5000,
    "learning_rate_batch": 256,
    "ema_decay": 0.995,
    "label_smoothing": 0.15,
    "dropout": 0.2,
    "uda_temperature": 0.7,
    "uda_threshold": 0.6,
    "uda_weight": 8,
    "uda_ramp_steps": 5000,
    "randaugment_ops": 2,
    "randaugment_magnitude": 16,
    "randaugment_translate": 0.125,
    "randaugment_cutout": 0.125,
    "cutout": 0.5,
    "shift": 0.125,
    "method": "mpl",
    "pseudo_labels": "sampled",
    "label_view": "strong",
    "feedback": "taylor",
    "feedback_scale": "mean",
    "feedback_weight": 1,
    "baseline": "none",
    "finetune_learning_rate": 1e-5,
    "finetune_batch": 512,
    "finetune_steps": 1000,
}
TWO_MOONS = {  # Paper, section 3.1 and appendix: MLP 2-8-8-2, plain SGD at a constant 0.1, nothing else.
    "model": "mlp",
    "num_labels": 6,
    "teacher_learning_rate": 0.1,
    "student_learning_rate": 0.1,
    "learning_rate_batch": 0,
    "schedule": "constant",
    "momentum": 0,
    "weight_decay": 0,
    "ema_decay": 0,
    "label_smoothing": 0,
    "dropout": 0,
    "finetune_steps": 0,
}
IMAGENET = {  # The authors' README for ImageNet-10%; finetuning: paper, section 3.2.
    "model": "resnet_50",
    "image_size": 224,
    "train_steps": 700_000,
    "labeled_batch": 1024,
    "mu": 15,
    "randaugment_magnitude": 17,
    "randaugment_translate": 0.4465,
    "randaugment_cutout": 0.1786,
    "teacher_learning_rate": 0.15,
    "teacher_warmup_steps": 5000,
    "student_learning_rate": 0.1,
    "student_wait_steps": 20_000,
    "student_warmup_steps": 5000,
    "weight_decay": 1e-4,
    "clip_norm": 5,
    "ema_decay": 0.999,
    "label_smoothing": 0.1,
    "dropout": 0.1,
    "uda_weight": 20,
    "uda_temperature": 0.5,
    "uda_threshold": 0.6,
    "uda_ramp_steps": 50_000,
    "finetune_steps": 2000,
    "finetune_batch": 512,
    "finetune_learning_rate": 1e-5,
}
JFT = IMAGENET | {  # Paper, section 4.1.
    "train_steps": 500_000,
    "labeled_batch": 4096,
    "mu": 8,
    "finetune_steps": 10_000,
    "finetune_learning_rate": 1e-4,
}
LARGE = JFT | {  # Paper, section 4.2, and Noisy Student.
    "image_size": 512,
    "train_steps": 1_000_000,
    "labeled_batch": 2048,
    "randaugment_magnitude": 27,
    "dropout": 0.5,
    "stochastic_depth": 0.2,
    "finetune_steps": 20_000,
}
# Folders of the user's without which a data set is refused.
NEEDED = {"folder": ("labeled_dir", "unlabeled_dir", "test_dir"), "imagenet_jft": ("unlabeled_dir",)}
METHODS = {  # Of the methods' flagfiles: what their papers give, whatever the data set has.
    "label_smoothing": {"label_smoothing": 0.15},
    "fixmatch": {"uda_weight": 1, "uda_threshold": 0.95, "uda_ramp_steps": 0, "label_smoothing": 0},
    "mean_teacher": {"uda_weight": 50, "ema_decay": 0.999},
    "pseudo_labels": {"pseudo_labels": "argmax", "label_smoothing": 0},
    "noisy_student": {
        "pseudo_labels": "soft",
        "label_smoothing": 0,
        "label_confidence": 0.3,
        "balance_classes": True,
        "class_prior": "uniform",
    },
}


def digits(*arguments):
    return flags.parse(["--dataset=digits_50", *arguments])


def refusal(*arguments):
    """The message with which a command line is refused: one line, exit status 2."""
    with pytest.raises(UsageError) as caught:
        flags.parse(list(arguments))
    message = str(caught.value)
    assert caught.value.status == 2
    assert message.strip() and "\n" not in message
    return message


def written(path, text):
    path.write_text(text)
    return path


def values(config, *left_out):
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in left_out}


@pytest.fixture
def folders(tmp_path):
    """Arguments that --dataset=folder needs."""
    names = ("labeled_dir", "unlabeled_dir", "test_dir")
    for name in names:
        (tmp_path / name).mkdir()
    return [f"--{name}={tmp_path / name}" for name in names]


def own(folders, dataset):
    """Those of the folders that a data set needs."""
    return [given for given in folders if given[2:].split("=")[0] in NEEDED.get(dataset, ())]


@pytest.fixture
def stored(tmp_path):
    """A config that differs from every flagfile, and the config.json written for it."""
    config = digits("--scale=gpu", "--seed=7", "--weight_decay=3e-7", "--noflip", "--data_dir=a b", "--workdir=old")
    return config, written(tmp_path / "config.json", config_json.to_json(config))


# ---- What is read over what ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "train_steps"),
    [
        (["--dataset=svhn_1k"], 300_000),  # defaults.flags
        (["--dataset=digits_50"], 600),  # over it digits_50.flags
        (["--dataset=digits_50", "--scale=smoke"], 200),  # over it scale_smoke.flags
        (["--dataset=digits_50", "--scale=smoke", "--train_steps=400"], 400),  # over it the command line
        (["--train_steps=400", "--scale=smoke", "--dataset=digits_50"], 400),  # wherever it stands
        (["--dataset=digits_50", "--train_steps=400", "--train_steps=500"], 500),  # the last one of its kind
    ],
)
def test_each_source_of_values_is_read_over_the_one_before(arguments, train_steps):
    assert flags.parse(arguments).train_steps == train_steps


def test_a_scale_leaves_what_it_does_not_name():
    assert values(digits("--scale=paper"), "scale") == values(digits(), "scale")
    assert digits("--scale=smoke").randaugment_magnitude == 5


def test_the_scale_and_the_data_set_asked_for_are_kept():
    config = digits("--scale=smoke")
    assert (config.dataset, config.scale) == ("digits_50", "smoke")


@pytest.mark.parametrize(("before", "after", "seed"), [([], [], 5), (["--seed=1"], [], 5), ([], ["--seed=1"], 1)])
def test_a_flagfile_counts_where_it_stands(tmp_path, before, after, seed):
    path = written(tmp_path / "own.flags", "# a note\n\n--seed=5\n--train_steps=700\n")
    config = digits(*before, f"--flagfile={path}", *after)
    assert (config.seed, config.train_steps, config.mu) == (seed, 700, 7)


def test_a_flagfile_may_name_the_data_set_the_scale_and_another_flagfile(tmp_path):
    inner = written(tmp_path / "inner.flags", "--scale=smoke\n--mu=3\n")
    outer = written(tmp_path / "outer.flags", f"--dataset=digits_50\n--flagfile={inner}\n--labeled_batch=8\n")
    config = flags.parse([f"--flagfile={outer}"])
    assert (config.dataset, config.scale, config.mu, config.labeled_batch) == ("digits_50", "smoke", 3, 8)
    assert config.train_steps == 200


def test_an_own_labeled_folder_means_the_data_set_folder(folders):
    assert flags.parse(folders).dataset == "folder"


def test_the_workdir_is_named_after_the_run_unless_given():
    assert digits("--method=uda", "--seed=4").workdir == "runs/digits_50-uda-seed4"
    assert digits("--workdir=here").workdir == "here"


# ---- Flags and flagfiles ------------------------------------------------------------------------------------------


def test_help_tells_every_flag_and_its_choices_and_exits_with_0(capsys):
    with pytest.raises(SystemExit) as caught:
        flags.parse(["--help"])
    assert caught.value.code == 0
    printed = "".join(capsys.readouterr().out.split())  # without the line breaks, which may stand inside words
    for name, field in FIELDS.items():
        assert field.metadata["help"].strip()
        flag = f"--[no]{name}:" if field.type is bool else f"--{name}:"
        assert flag + "".join(field.metadata["help"].split()) in printed
        for choice in field.metadata["choices"] or ():
            assert choice in printed
    assert "--config:" in printed


def test_the_defaults_give_every_flag_one_value():
    lines = (flags.recipes() / "defaults.flags").read_text().splitlines()
    names = [line[2:].split("=")[0] for line in lines if line.startswith("--")]
    assert sorted(names) == sorted(FIELDS)


def test_what_a_method_is_made_of_outlives_the_scale():
    config = flags.parse(["--dataset=cifar10_4k", "--scale=gpu", "--method=fixmatch"])
    assert (config.uda_threshold, config.uda_ramp_steps) == (0.95, 0)
    assert flags.parse(["--dataset=cifar10_4k", "--scale=laptop", "--method=label_smoothing"]).label_smoothing == 0.15


def test_a_models_and_a_scales_flagfile_of_a_data_set_are_read_over_it(folders):
    jft = ["--dataset=imagenet_jft", *own(folders, "imagenet_jft")]
    large = flags.parse([*jft, "--model=efficientnet_l2", "--scale=smoke", "--image_size=64"])
    assert (large.stochastic_depth, large.train_steps, large.image_size) == (0.2, 10, 64)
    assert flags.parse(["--dataset=folder", *folders, "--model=efficientnet_l2"]).stochastic_depth == 0


def test_weights_of_ones_own_take_the_place_of_those_that_a_flagfile_names(folders, tmp_path):
    own, laptop = tmp_path / "own.npz", ["--scale=laptop", *folders]
    own.touch()
    assert flags.parse(laptop).pretrained == "imagenet"
    config = flags.parse([*laptop, f"--weights={own}"])
    assert (config.pretrained, config.weights, config.freeze) == ("none", str(own), "backbone")
    with pytest.raises(UsageError, match="^--weights: goes without --pretrained, got --pretrained=imagenet; leave one"):
        flags.parse([*laptop, f"--weights={own}", "--pretrained=imagenet"])


def test_there_is_a_flagfile_for_each_data_set_and_each_scale():
    assert set(flags.known()) == set(catalogue.DATASETS)
    assert set(flags.known("scale_")) == set(SCALES)


@pytest.mark.parametrize(("dataset", "scale"), RECIPES)
def test_every_recipe_is_a_valid_config(folders, dataset, scale):
    config = flags.parse([f"--dataset={dataset}", f"--scale={scale}", *own(folders, dataset)])
    config.validate()
    assert not config.num_labels or max(config.labeled_batches().values()) <= config.num_labels
    assert {name: type(value) for name, value in dataclasses.asdict(config).items()} == {
        name: field.type for name, field in FIELDS.items()
    }


@pytest.mark.parametrize(
    ("dataset", "recipe"),
    [
        ("cifar10_4k", RELEASED | {"num_labels": 4000}),
        ("cifar100_10k", RELEASED | {"num_labels": 10_000}),
        ("svhn_1k", RELEASED | {"num_labels": 1000, "flip": False}),
        ("stl10_1k", RELEASED | {"num_labels": 1000}),
        ("two_moons", TWO_MOONS),
        ("digits_50", {"num_labels": 50, "flip": False}),
        ("imagenet_10", IMAGENET),
        ("imagenet_jft", JFT),
        ("imagenet_jft --model=efficientnet_l2", LARGE | {"model": "efficientnet_l2"}),
        ("imagenet_jft --model=efficientnet_b6_wide", LARGE | {"model": "efficientnet_b6_wide"}),
        ("imagenet", {"method": "supervised", "model": "resnet_50", "labeled_batch": 1024, "train_steps": 112_590}),
    ],
)
def test_recipes_have_the_published_numbers(folders, dataset, recipe):
    config = flags.parse([*f"--dataset={dataset}".split(), *own(folders, dataset.split()[0])])
    assert {name: getattr(config, name) for name in recipe} == recipe


def test_flagfiles_of_methods_belong_to_methods():
    assert set(METHODS) <= set(flags.known("method_")) <= set(catalogue.METHODS)


@pytest.mark.parametrize("dataset", [dataset for dataset in flags.known() if dataset not in NEEDED])
@pytest.mark.parametrize("method", METHODS)
def test_a_methods_flagfile_is_read_over_the_data_sets_and_under_the_command_line(dataset, method):
    config = flags.parse([f"--dataset={dataset}", f"--method={method}"])
    plain = flags.parse([f"--dataset={dataset}", "--method=supervised"])
    assert values(config, "workdir") == values(plain, "workdir") | METHODS[method] | {"method": method}
    assert flags.parse([f"--dataset={dataset}", f"--method={method}", "--label_smoothing=0.5"]).label_smoothing == 0.5


@pytest.mark.parametrize(
    ("method", "flag"), [("label_smoothing", "--label_smoothing=0"), ("mean_teacher", "--ema_decay=0")]
)
def test_a_method_refuses_to_be_without_what_it_lives_on(method, flag):
    message = refusal("--dataset=digits_50", f"--method={method}", flag)
    assert message.startswith(flag.removesuffix("=0") + ":") and method in message and "more than 0, got 0" in message


# ---- Refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], ["--dataset", ", ".join(sorted(catalogue.DATASETS)), "nothing"]),
        (["--dataset=mnist"], ["--dataset", "digits_50", "mnist"]),
        (["--dataset=defaults"], ["--dataset", "got defaults"]),
        (["--dataset=digits_50", "--scale=huge"], ["--scale", "gpu, laptop, paper, smoke", "huge"]),
        (["--dataset=digits_50", "--learn_rate=1"], ["learn_rate"]),
        (["--dataset=digits_50", "--num_label=1"], ["num_label", "num_labels"]),
        (["--dataset=digits_50", "--schedule=linear"], ["--schedule", "cosine, constant", "linear"]),
        (["--dataset=digits_50", "--mode=test"], ["--mode", "train, features, evaluate, predict", "test"]),
        (["--dataset=digits_50", "--precision=float16"], ["--precision", "float32, mixed_bfloat16", "float16"]),
        (["--dataset=digits_50", "--seed=one"], ["--seed", "one"]),
        (["--dataset=digits_50", "--seed=1.5"], ["--seed", "1.5"]),
        (["--dataset=digits_50", "--train_steps=1e3"], ["--train_steps", "1e3"]),
        (["--dataset=digits_50", "--momentum=high"], ["--momentum", "high"]),
        (["--dataset=digits_50", "--debug=maybe"], ["--debug", "maybe"]),
        (["--dataset=digits_50", "--mu"], ["--mu"]),
        (["--dataset=digits_50", "--seed=-1"], ["--seed", "-1"]),
        (["--dataset=digits_50", "--num_labels=-1"], ["--num_labels", "at least 0", "-1"]),
        (["--dataset=digits_50", f"--seed={2**31}"], ["--seed", str(2**31 - 1), str(2**31)]),
        (["--dataset=digits_50", "--labeled_batch=0"], ["--labeled_batch", "at least 1", "0"]),
        (["--dataset=digits_50", "--keep_checkpoints=1"], ["--keep_checkpoints", "at least 2", "1"]),
        (["--dataset=digits_50", "--cutout=1.5"], ["--cutout", "0 to 1", "1.5"]),
        (["--dataset=digits_50", "--shift=-0.1"], ["--shift", "0 to 0.5", "-0.1"]),
        (["--dataset=digits_50", "--stochastic_depth=1"], ["--stochastic_depth", "0 to 0.99", "1.0"]),
        (["--dataset=digits_50", "--unlabeled_source=all"], ["--unlabeled_source", "rest, labeled", "all"]),
        (["--dataset=digits_50", "--randaugment_magnitude=31"], ["--randaugment_magnitude", "0 to 30", "31"]),
        (
            ["--dataset=svhn_1k", "--scored_on=validation"],
            ["--scored_on", "--dataset=digits_50, cifar10_4k, cifar100_10k, imagenet_jft, got --dataset=svhn_1k"],
        ),
        (
            ["--dataset=digits_50", "--randaugment_without=Rotate,Turn"],
            ["--randaugment_without", "TranslateY, Cutout, separated by commas", "Rotate,Turn"],
        ),
        (["--dataset=digits_50", "--uda_temperature=0"], ["--uda_temperature", "0.0"]),
        (["--dataset=digits_50", "--momentum=nan"], ["--momentum", "0 to 1", "nan"]),
        (["--dataset=digits_50", "--weight_decay=nan"], ["--weight_decay", "at least 0", "nan"]),
        (["--dataset=digits_50", "--teacher_learning_rate=inf"], ["--teacher_learning_rate", "at least 0", "inf"]),
        (["--dataset=digits_50", "svhn"], ["svhn", "--name=value"]),
        (["--dataset=digits_50", "--flagfile=no_such.flags"], ["flagfile", "no_such.flags"]),
        (["--dataset=digits_50", "--labeled_dir=."], ["--labeled_dir", "--dataset=folder or imagenet_10", "digits_50"]),
        (["--dataset=imagenet_10", "--unlabeled_dir=."], ["--unlabeled_dir", "folder or imagenet_jft", "imagenet_10"]),
        (["--dataset=imagenet_10", "--test_dir=."], ["--test_dir", "--dataset=folder", "imagenet_10"]),
        (["--dataset=imagenet_10", "--labeled_dir=no_such"], ["--labeled_dir", "existing folder", "no_such"]),
        (["--dataset=imagenet_jft"], ["--unlabeled_dir", "existing folder", "nothing"]),
        (["--dataset=imagenet", "--skip_bad_images"], ["--skip_bad_images", "imagenet", "mend"]),
        (["--dataset=folder", "--labeled_dir=no_such"], ["--labeled_dir", "existing folder", "no_such"]),
        (["--labeled_dir=.", "--unlabeled_dir=."], ["--test_dir", "existing folder", "nothing"]),
        (["--labeled_dir=.", "--test_dir=."], ["--unlabeled_dir", "existing folder", "nothing"]),
        (["--mode=evaluate"], ["--workdir", "evaluate", "nothing"]),
        (["--mode=predict"], ["--workdir", "predict", "nothing"]),
        (["--mode=evaluate", "--workdir=no_such"], ["--workdir", "no_such/config.json"]),
    ],
)
def test_a_refusal_names_the_flag_what_it_expects_and_what_came(arguments, told):
    message = refusal(*arguments)
    assert [part for part in told if part not in message] == []


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--mu=2147483648", "at most 65536"),
        (f"--eval_batch={2**63}", "eval_batch"),
        (f"--eval_batch={2**40}", "at most 1048576"),
        (f"--labeled_batch={2**31}", "at most 1048576"),
        (f"--image_size={2**31}", "at most 16384"),
        (f"--train_steps={2**63 - 1}", "at most 100000000"),
        (f"--finetune_steps={10**12}", "at most 100000000"),
        (f"--keep_checkpoints={2**40}", "at most 1000000"),
        ("--teacher_learning_rate=1e308", "at most 1000"),
        ("--finetune_learning_rate=1e10", "at most 1000"),
        ("--student_warmup_steps=1e26", "at most 100000000"),
        ("--student_wait_steps=2.5", "expected whole steps, or below 1 a share of the run, got 2.5"),
        ("--uda_weight=1e30", "at most 1000"),
        ("--noise=1e30", "at most 1000"),
        ("--ema_decay=1", "at most 0.999999"),
        ("--momentum=1", "at most 0.999999"),
        ("--label_smoothing=1", "at most 0.99"),
    ],
)
def test_values_with_which_no_run_could_end_well_are_refused_while_parsing(flag, told):
    message = refusal("--dataset=digits_50", flag)
    assert flag[2:].split("=")[0] in message and told in message


def test_a_step_of_more_examples_than_can_be_numbered_is_refused():
    message = refusal("--dataset=digits_50", "--mu=65536", "--labeled_batch=500", "--finetune_batch=500")
    assert "--mu: expected at most 33554 with --labeled_batch=500" in message


@pytest.mark.parametrize("value", [["cifar10_4k"], None, {"a": 1}, 3])
def test_a_config_json_with_values_of_other_types_is_refused_by_name(stored, value):
    config, path = stored
    path.write_text(json.dumps({"flags": dataclasses.asdict(config) | {"dataset": value, "mu": "7"}}))
    message = refusal(f"--config={path}")
    assert message.startswith("2 problems: (1) --dataset: expected a text, got ")
    assert "--mu: expected a whole number, got '7'" in message


def test_all_problems_of_a_command_line_are_told_at_once():
    message = refusal(
        "--dataset=digits_50",
        "--labeled_batch=7",
        "--finetune_batch=9",
        "--accumulate=2",
        "--mu=0",
        "--no_such=1",
        "--seed=one",
        "--schedule=linear",
        "--feedback=taylor",
        "--pseudo_labels=soft",
    )
    assert message.startswith("7 problems: (1) ")
    for part in (
        "--no_such: there is no such flag",
        "--seed=one",
        "--mu: expected at least 1, got 0",
        "--schedule: expected one of cosine, constant, got 'linear'",
        "--accumulate: expected a divisor of --labeled_batch (7), got 2",
        "--accumulate: expected a divisor of --finetune_batch (9), got 2",
        "--feedback: taylor with --pseudo_labels=soft",
        "(7) ",
    ):
        assert part in message


def test_a_wrong_value_of_its_own_word_hides_none_of_the_flags_behind_it():
    message = refusal("--dataset=digits_50", "--seed", "one", "--mu", "0", "--no_such", "-5", "--schedule=linear")
    assert message.startswith("4 problems: (1) ") and "expected flags only" not in message
    for part in ("--seed=one", "--no_such: there is no such flag", "--mu: expected at least 1, got 0", "--schedule: "):
        assert part in message


def test_a_misspelt_data_set_comes_with_the_other_problems():
    message = refusal("--dataset=digit_50", "--scale=big", "--mu=0")
    assert "--mu: expected at least 1" in message
    assert "--dataset: expected one of" in message and "did you mean digits_50?" in message
    assert "--scale: expected one of" in message


# ---- Schedules ----------------------------------------------------------------------------------------------------


def test_waits_warm_ups_and_ramps_are_steps_or_shares_of_the_run():
    config = digits(
        "--train_steps=1000", "--teacher_warmup_steps=0.05", "--student_wait_steps=30", "--uda_ramp_steps=0"
    )
    assert [config.in_steps(name) for name in config.SHARES] == [50, 30, 83, 0]
    assert config.replace(train_steps=100).in_steps("teacher_warmup_steps") == 5
    assert (config.option("uda_ramp_steps"), config.option("uda_weight")) == (0, 8.0)


@pytest.mark.parametrize(
    ("dataset", "steps", "expected"),
    [
        ("digits_50", 600, [50, 0, 50, 100]),
        ("folder", 20_000, [500, 500, 500, 1000]),
        ("cifar10_4k", 300_000, [5000, 3000, 5000, 5000]),
        ("cifar10_4k --scale=gpu", 100_000, [1500, 1000, 1500, 1500]),
        ("cifar10_4k --scale=smoke", 200, [20, 20, 20, 100]),
        ("cifar10_4k --scale=laptop", 12000, [1200, 0, 1200, 2400]),
        ("digits_50 --scale=laptop", 400, [40, 0, 40, 100]),
    ],
)
def test_the_recipes_have_the_steps_that_they_had(folders, dataset, steps, expected):
    config = flags.parse([*f"--dataset={dataset}".split(), *own(folders, dataset)])
    assert (config.train_steps, [config.in_steps(name) for name in config.SHARES]) == (steps, expected)


def test_a_short_run_on_own_images_keeps_the_form_of_the_recipe(folders):
    config = flags.parse(["--dataset=folder", "--train_steps=200", *folders])
    assert [config.in_steps(name) for name in config.SHARES] == [5, 5, 5, 10]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--train_steps=200", "--teacher_warmup_steps=200"],
            ["--teacher_warmup_steps (200)", "the 200 of --train_steps"],
        ),
        (
            ["--train_steps=200", "--student_wait_steps=100", "--student_warmup_steps=100"],
            ["--student_wait_steps (100) and --student_warmup_steps (100)", "--train_steps=210 or more"],
        ),
        (
            ["--method=reduced_mpl", "--teacher_steps=40", "--teacher_warmup_steps=40"],
            ["--teacher_warmup_steps (40)", "the 40 of --teacher_steps", "--teacher_steps=50 or more"],
        ),
    ],
)
def test_a_schedule_that_never_reaches_its_peak_is_refused_and_its_numbers_work(arguments, told):
    message = refusal("--dataset=digits_50", *arguments)
    assert [part for part in told if part not in message] == []
    advice = re.search(r"give ((--\w+=0.05 ?)+), shares of the run, or (--\w+=\d+) or more", message)
    digits(*arguments, *advice[1].split())
    digits(*arguments, advice[3])


def test_what_a_method_does_not_use_is_not_refused():
    digits("--method=uda", "--student_wait_steps=600")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.type is float])
def test_no_number_may_be_nan_or_infinite(name, value):
    assert f"--{name}:" in refusal("--dataset=digits_50", f"--{name}={value}")


def test_a_flagfile_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "model.flags"
    path.write_bytes(b"\xff\xfe\x00")
    assert "--flagfile" in refusal("--dataset=digits_50", f"--flagfile={path}")


@pytest.mark.parametrize("feedback", ["taylor", "dot_product"])
def test_soft_pseudo_labels_refuse_a_feedback_whose_gradient_would_be_zero(feedback):
    message = refusal("--dataset=digits_50", "--pseudo_labels=soft", f"--feedback={feedback}")
    assert message.startswith("--feedback:") and feedback in message and "--pseudo_labels=soft" in message


@pytest.mark.parametrize("feedback", ["exact", "off"])
def test_a_feedback_without_a_scalar_refuses_a_baseline(feedback):
    message = refusal("--dataset=digits_50", f"--feedback={feedback}", "--baseline=moving_average")
    assert message.startswith("--baseline:") and feedback in message and "moving_average" in message


@pytest.mark.parametrize(
    "pair",
    [
        {"pseudo_labels": "soft", "feedback": "exact"},
        {"pseudo_labels": "soft", "feedback": "off"},
        {"pseudo_labels": "sampled", "feedback": "taylor", "baseline": "moving_average"},
        {"pseudo_labels": "argmax", "feedback": "dot_product", "baseline": "moving_average"},
    ],
)
def test_the_other_pairs_of_labels_feedback_and_baseline_are_taken(make_config, pair):
    config = make_config(**pair)
    assert {name: getattr(config, name) for name in pair} == pair


@pytest.mark.parametrize(
    ("steps", "steps_per_epoch", "steps_per_execution"), [(1000, 100, 7), (1000, 100, 8), (1005, 100, 10)]
)
def test_steps_per_execution_divides_the_epoch_and_the_whole_run(steps, steps_per_epoch, steps_per_execution):
    message = refusal(
        "--dataset=digits_50",
        f"--train_steps={steps}",
        f"--steps_per_epoch={steps_per_epoch}",
        f"--steps_per_execution={steps_per_execution}",
    )
    assert message.startswith("--steps_per_execution:")
    for number in (steps, steps_per_epoch, steps_per_execution):
        assert str(number) in message


def test_a_config_cannot_be_changed(make_config):
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_config().seed = 1
    assert make_config().replace(seed=1) == make_config(seed=1, workdir="runs/digits_50-mpl-seed0")


# ---- config.json --------------------------------------------------------------------------------------------------


def test_a_stored_config_comes_back_but_for_its_workdir(stored):
    config, path = stored
    assert config_json.from_json(path) == dataclasses.asdict(config)
    again = flags.parse([f"--config={path}"])
    assert values(again, "workdir") == values(config, "workdir")
    assert again.workdir == "runs/digits_50-mpl-seed7"
    assert flags.parse([f"--config={path}", "--workdir=old"]) == config


@pytest.mark.parametrize(("former", "today"), [(True, "layer"), (False, "none")])
def test_a_config_json_of_an_earlier_version_says_whether_layers_compute_again(tmp_path, former, today):
    config = flags.parse(["--dataset=digits_50", "--strategy=dtensor", "--mesh=replica:1,core:2"])
    text = json.loads(config_json.to_json(config))
    text["flags"]["remat"] = former
    (tmp_path / "config.json").write_text(json.dumps(text))
    assert config_json.from_json(tmp_path / "config.json")["remat"] == today
    assert flags.parse([f"--config={tmp_path / 'config.json'}"]).remat == today


@pytest.mark.parametrize(("dataset", "scale"), RECIPES)
def test_every_recipe_comes_back_from_its_config_json(tmp_path, folders, dataset, scale):
    config = flags.parse([f"--dataset={dataset}", f"--scale={scale}", *own(folders, dataset)])
    path = written(tmp_path / "config.json", config_json.to_json(config))
    assert flags.parse([f"--config={path}"]) == config


def test_the_command_line_is_read_over_a_stored_config(stored):
    config, path = stored
    again = flags.parse([f"--config={path}", "--seed=8", "--flip", "--weight_decay=0.25"])
    changed = {"seed": 8, "flip": True, "weight_decay": 0.25}
    assert values(again, "workdir") == values(config, "workdir") | changed


def test_a_stored_config_starts_a_training_whatever_mode_it_was_written_in(stored, tmp_path):
    config, _ = stored
    path = written(tmp_path / "evaluated.json", config_json.to_json(config.replace(mode="evaluate")))
    assert flags.parse([f"--config={path}"]).mode == "train"


@pytest.mark.parametrize("arguments", [["--mode=evaluate"], ["--mode=predict", "--images={folder}"]])
def test_a_finished_run_is_described_by_the_config_in_its_workdir(stored, arguments):
    config, path = stored
    given = [argument.format(folder=path.parent) for argument in arguments]
    again = flags.parse([*given, f"--workdir={path.parent}"])
    assert again.workdir == str(path.parent)
    assert f"--mode={again.mode}" == arguments[0]
    assert values(again, "workdir", "mode", "images") == values(config, "workdir", "mode", "images")


def test_a_finished_run_needs_nothing_of_what_it_was_trained_from(tmp_path, make_config):
    """Folders, weights and a teacher that are gone are refused for training alone."""
    for name in ("labeled", "unlabeled", "test", "images"):
        (tmp_path / name).mkdir()
    (tmp_path / "model.keras").write_text("")
    folders = {f"{name}_dir": tmp_path / name for name in ("labeled", "unlabeled", "test")}
    models = {name: tmp_path / "model.keras" for name in ("init_from", "teacher")}
    config = make_config("folder", method="pseudo_labels", workdir=tmp_path, **folders, **models)
    (tmp_path / "config.json").write_text(config_json.to_json(config))
    for name in ("labeled", "unlabeled"):
        (tmp_path / name).rmdir()
    (tmp_path / "model.keras").unlink()
    told = refusal(f"--config={tmp_path / 'config.json'}")
    assert all(f"--{name}: expected" in told for name in ("labeled_dir", "unlabeled_dir", "init_from", "teacher"))
    assert flags.parse(["--mode=evaluate", f"--workdir={tmp_path}"]).mode == "evaluate"
    (tmp_path / "test").rmdir()
    assert refusal("--mode=evaluate", f"--workdir={tmp_path}").startswith("--test_dir: expected an existing folder")
    images = f"--images={tmp_path / 'images'}"
    assert flags.parse(["--mode=predict", f"--workdir={tmp_path}", images]).mode == "predict"


def test_predict_needs_a_folder_of_images(stored):
    _, path = stored
    message = refusal("--mode=predict", f"--workdir={path.parent}", "--images=no_such")
    assert message.startswith("--images:") and "no_such" in message


def test_config_json_tells_the_versions_it_was_made_with(stored):
    _, path = stored
    written_json = json.loads(path.read_text())
    assert set(written_json) == {"flags", "versions", "git_revision", "crc32"}
    assert {"python", "tensorflow", "keras"} <= set(written_json["versions"])
    assert all(version[0].isdigit() for version in written_json["versions"].values())


@pytest.mark.parametrize(
    ("change", "named"),
    [(lambda stored: stored.pop("mu"), "mu"), (lambda stored: stored.update(tau=1), "tau")],
    ids=["missing", "extra"],
)
def test_a_config_of_another_version_is_refused_and_the_flag_named(stored, change, named):
    config, path = stored
    other = dataclasses.asdict(config)
    change(other)
    path.write_text(json.dumps({"flags": other}))
    message = refusal(f"--config={path}")
    assert (
        message.startswith("--config:")
        and str(path) in message
        and message.endswith(f"differs in {named}; give that of another run")
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"flags": 3}', '{"flags": null}', '{"flags": ["mu"]}', "\x00"])
def test_a_file_that_is_no_config_json_is_refused(tmp_path, text):
    path = written(tmp_path / "config.json", text)
    message = refusal(f"--config={path}")
    assert message.startswith("--config:") and str(path) in message


def test_an_absent_config_json_is_refused(tmp_path):
    message = refusal(f"--config={tmp_path}/config.json")
    assert message.startswith("--config:") and f"{tmp_path}/config.json" in message


def test_a_bad_value_in_a_config_json_is_refused_like_one_on_the_command_line(stored):
    config, path = stored
    path.write_text(json.dumps({"flags": dataclasses.asdict(config) | {"mu": 0}}))
    assert refusal(f"--config={path}") == "--mu: expected at least 1, got 0"


def test_differences_leave_out_what_does_not_make_another_run(stored):
    config, _ = stored
    same = config.replace(workdir="new", data_dir="new", mode="evaluate", debug=True, images="new")
    assert config_json.differences(same, dataclasses.asdict(config)) == []
    other = config.replace(seed=8, uda_weight=9.0, flip=True, workdir="new")
    assert config_json.differences(other, dataclasses.asdict(config)) == ["seed", "flip", "uda_weight"]
