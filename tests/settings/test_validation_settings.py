"""Flags of validation: where the images come from, what goes together, and one line for what does not.

Covers: validation_settings.py, validation_checks.py
"""

import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import flags

DIGITS, SVHN, OWN = ["--dataset=digits_50"], ["--dataset=svhn_1k"], ["--labeled_dir=.", "--unlabeled_dir=."]


@pytest.mark.parametrize(
    ("arguments", "by", "holds_out"),
    [
        (DIGITS, [], False),
        ([*DIGITS, "--validation_fraction=0.2"], ["--validation_fraction=0.2"], False),
        ([*DIGITS, "--validate_on=held_out"], ["--validate_on=held_out"], True),
        ([*DIGITS, "--scored_on=validation"], ["--scored_on=validation"], True),
        ([*DIGITS, "--scored_on=validation", "--validation_fraction=0.2"], ["--validation_fraction=0.2"], False),
        ([*OWN, "--validation_dir=."], ["--validation_dir=."], False),
        ([*SVHN, "--scored_on=validation", "--validation_fraction=0.1"], ["--validation_fraction=0.1"], False),
        (["--dataset=imagenet_jft", "--unlabeled_dir=.", "--validate_on=held_out"], ["--validate_on=held_out"], True),
    ],
)
def test_what_gives_the_validation_images(arguments, by, holds_out):
    config = flags.parse(arguments)
    assert (config.validated_by(), config.holds_out) == (by, holds_out)


HELD = "--dataset=digits_50, cifar10_4k, cifar100_10k, imagenet_jft, got --dataset="


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([*DIGITS, "--validation_fraction=1"], "--validation_fraction: expected 0 to 0.9, got 1.0"),
        ([*DIGITS, "--validation_fraction=-0.1"], "--validation_fraction: expected 0 to 0.9, got -0.1"),
        ([*DIGITS, "--validate_on=test"], "--validate_on: expected one of none, held_out, got 'test'"),
        ([*DIGITS, "--validation_dir=."], "--validation_dir: goes with --dataset=folder, got --dataset=digits_50"),
        (
            [*DIGITS, "--validate_on=held_out", "--validation_fraction=0.2"],
            "--validation_fraction=0.2: goes without --validate_on=held_out; leave all but one out",
        ),
        (
            [*SVHN, "--validate_on=held_out"],
            f"--validate_on: held_out goes with {HELD}svhn_1k; give --validation_fraction",
        ),
        (
            [*SVHN, "--scored_on=validation"],
            f"--scored_on: validation goes with {HELD}svhn_1k; give it --validation_fraction too",
        ),
        (
            [*OWN, "--test_dir=.", "--scored_on=validation"],
            f"--scored_on: validation goes with {HELD}folder; give it --validation_dir or --validation_fraction too",
        ),
        (
            [*OWN, "--validation_dir=no_such"],
            "--validation_dir: expected an existing folder of images, got no_such",
        ),
        (
            OWN,
            "--test_dir: expected an existing folder of images, got nothing; to do without test images, give "
            "--validation_dir or --validation_fraction",
        ),
    ],
)
def test_a_refusal_is_one_line(arguments, told):
    with pytest.raises(UsageError) as caught:
        flags.parse(arguments)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--keep=best", "--keep: best needs validation images, got none; give --validation_dir, "),
        ("--patience=3", "--patience: 3 needs validation images, got none; give --validation_dir, "),
        ("--keep=worst", "--keep: expected one of last, best, got 'worst'"),
        ("--patience=-1", "--patience: expected at least 0, got -1"),
    ],
)
def test_what_chooses_needs_validation_images(flag, told):
    with pytest.raises(UsageError) as caught:
        flags.parse([*DIGITS, flag])
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)
    if "needs" in told:
        assert str(caught.value).endswith("--validation_fraction or --validate_on=held_out")
        flags.parse([*DIGITS, flag, "--validation_fraction=0.2"])
        flags.parse([*DIGITS, flag, "--scored_on=validation"])
