"""Command line to Config: the only module that touches absl.flags.

Values are read in this order, each over the one before: flags/defaults.flags, flags/DATASET.flags,
flags/DATASET.MODEL.flags where there is one, flags/scale_SCALE.flags, flags/DATASET.SCALE.flags and
flags/method_METHOD.flags where there are, the command line. `--config=RUN/config.json` stands in for the files; so does
WORKDIR/config.json with --mode=evaluate and --mode=predict.
"""

import dataclasses
import sys
from pathlib import Path

from absl import flags as absl_flags

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import config_json
from mpl_tf.settings.config import Config

DEFINE = {
    str: absl_flags.DEFINE_string,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
    bool: absl_flags.DEFINE_boolean,
}
USAGE = """Train image classifiers with Meta Pseudo Labels.

  python -m mpl_tf.main --dataset=digits_50
  python -m mpl_tf.main --dataset=cifar10_4k --scale=gpu --workdir=runs/cifar
  python -m mpl_tf.main --dataset=folder --labeled_dir=L --unlabeled_dir=U --test_dir=T
  python -m mpl_tf.main --config=RUN/config.json --workdir=NEW
  python -m mpl_tf.main --mode=predict --workdir=RUN --images=FOLDER

Defaults stand in flags/defaults.flags, DATASET.flags, scale_SCALE.flags and method_METHOD.flags.
"""


def recipes():
    """The folder of flagfiles: the copy inside an installed package, else flags/ of the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "flags"


def known(prefix=""):
    """Names of the flagfiles that start with `prefix`, without it; data sets where the prefix is empty."""
    names = sorted(path.stem for path in recipes().glob(f"{prefix}*.flags"))
    if not prefix:
        others = ("defaults", "scale_", "method_")
        return [name for name in names if not name.startswith(others) and "." not in name]
    return [name.removeprefix(prefix) for name in names]


def parse(argv):
    """Build the configuration that a command line asks for.

    Args:
        argv: list of str, without the program's name.
    Returns:
        A validated Config.
    Raises:
        UsageError: unknown flag, value, data set or scale; a flag out of its range.
        SystemExit: status 0, after --help.
    """
    if {"--help", "-help", "-h", "--helpfull", "--helpshort"} & set(argv):
        print(USAGE + "\n" + _new_flags().main_module_help().replace(f"\n{sys.argv[0]}:\n", ""))
        raise SystemExit(0)
    asked = _read(argv)
    if asked["mode"] in ("evaluate", "predict") and not asked["config"]:
        if not asked["workdir"]:
            raise UsageError(
                f"--workdir: expected the folder of a finished run for --mode={asked['mode']}, got nothing"
            )
        asked["config"] = str(Path(asked["workdir"]) / "config.json")
        if not Path(asked["config"]).is_file():
            raise UsageError(f"--workdir: expected the folder of a finished run, found no {asked['config']}")
    if asked["config"]:
        base = _unparse(config_json.from_json(asked["config"]) | {"mode": "train", "workdir": ""})
    else:
        base = _recipe(asked)
    values = _read(base + argv)
    del values["config"]
    missing = [f"--{name}" for name, value in values.items() if value is None]
    if missing:
        raise UsageError(f"{missing[0]}: no flagfile gives it a value; give it on the command line")
    config = Config(**values)
    if not config.workdir:
        config = config.replace(workdir=f"runs/{config.dataset}-{config.method}-seed{config.seed}")
    config.validate()
    return config


def _new_flags():
    values = absl_flags.FlagValues()
    for field in dataclasses.fields(Config):
        DEFINE[field.type](field.name, None, _help(field), flag_values=values, module_name=sys.argv[0])
    absl_flags.DEFINE_string(
        "config",
        None,
        "config.json of an earlier run: its values instead of the flagfiles'",
        flag_values=values,
        module_name=sys.argv[0],
    )
    absl_flags.DEFINE_string("flagfile", "", "read flags from this file, as absl does", flag_values=values)
    absl_flags.DEFINE_string("undefok", "", "flags that may be unknown, as absl has it", flag_values=values)
    return values


def _help(field):
    choices, low, high = (field.metadata[key] for key in ("choices", "low", "high"))
    parts = [field.metadata["help"]]
    if choices:
        parts.append("one of " + ", ".join(choices))
    if low is not None or high is not None:
        parts.append(f"range: {low if low is not None else ''} to {high if high is not None else 'any'}")
    return "; ".join(parts)


def _read(arguments):
    """Flag values of a list of arguments: dict of name to value, None where none was given."""
    values = _new_flags()
    try:
        rest = values(["mpl_tf", *arguments])
    except absl_flags.Error as error:
        raise UsageError(f"{' '.join(str(error).split())}; see --help") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--flagfile: {error}") from error
    if len(rest) > 1:
        raise UsageError(f"expected flags only, got {rest[1]!r}; write --name=value")
    return {name: values[name].value for name in [f.name for f in dataclasses.fields(Config)] + ["config"]}


def _recipe(asked):
    """Arguments that read the flagfiles of the data set, the scale and the method asked for."""
    dataset, scale = asked["dataset"], asked["scale"] or "paper"
    if dataset is None and asked["labeled_dir"]:
        dataset = "folder"
    if dataset not in known():
        raise UsageError(f"--dataset: expected one of {', '.join(known())}, got {dataset or 'nothing'}")
    if scale not in known("scale_"):
        raise UsageError(f"--scale: expected one of {', '.join(known('scale_'))}, got {scale}")
    names = [f"{dataset}.{asked['model']}", f"scale_{scale}", f"{dataset}.{scale}", f"method_{asked['method']}"]
    files = [recipes() / f"{name}.flags" for name in ("defaults", dataset, *names)]
    return [f"--flagfile={path}" for path in files if path.exists()] + [f"--dataset={dataset}", f"--scale={scale}"]


def _unparse(values):
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in values.items()]
