"""Checks of the flags of validation in combination; see settings/checks.py, which runs them."""

from mpl_tf.settings.catalogue import DATASETS
from mpl_tf.settings.validation_settings import HOLDING_OUT

INSTEAD = "; to do without test images, give --validation_dir or --validation_fraction"


def validation(config):
    """A run has validation images from one place at most, and what asks for them has some."""
    given, row = config.validated_by(), DATASETS[config.dataset]
    if len(given) > 1:
        yield f"{given[0]}: goes without {' and '.join(given[1:])}; leave all but one out"
    got = f"got --dataset={config.dataset}"
    if config.validate_on == "held_out" and not row.validates:
        yield f"--validate_on: held_out goes with --dataset={HOLDING_OUT}, {got}; give {_others(row)}"
    if given == ["--scored_on=validation"] and not row.validates:
        yield f"--scored_on: validation goes with --dataset={HOLDING_OUT}, {got}; give it {_others(row)} too"


def choosing(config):
    """What validation scores choose needs validation images."""
    if config.validated_by():
        return
    for flag, given in (("keep", config.keep == "best"), ("patience", config.patience)):
        if given:
            yield (
                f"--{flag}: {getattr(config, flag)} needs validation images, got none; give --validation_dir, "
                "--validation_fraction or --validate_on=held_out"
            )


def _others(row):
    """What gives a data set that holds no images out validation images."""
    return "--validation_dir or --validation_fraction" if "validation_dir" in row.folders else "--validation_fraction"


def spared_test(config):
    """Whether no test images are needed: a training run that has validation images, or a run that is scored on them."""
    validated = bool(config.validated_by())
    return validated and (config.mode in ("train", "features") or config.scored_on == "validation")
