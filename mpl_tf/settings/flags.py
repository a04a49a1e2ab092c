"""Command line to values: the only module that touches absl.flags.

`read` serves every program; its flags are classes of fields (settings/fields.py). `parse` makes the trainer's Config.
Its values are read in this order, each over the one before: flags/defaults.flags, flags/DATASET.flags,
flags/DATASET.MODEL.flags where there is one, flags/scale_SCALE.flags, flags/DATASET.SCALE.flags and
flags/method_METHOD.flags where there are, the command line. `--config=RUN/config.json` stands in for the files; so does
WORKDIR/config.json with --mode=evaluate and --mode=predict.
"""

import dataclasses
from pathlib import Path

from absl import flags as absl_flags

from mpl_tf.base.errors import UsageError, did_you_mean
from mpl_tf.settings import config_json, fields, help_text
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag

DEFINE = {
    str: absl_flags.DEFINE_string,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
    bool: absl_flags.DEFINE_boolean,
    tuple: absl_flags.DEFINE_multi_string,
}
HELP = ("--help", "-help", "-h", "--helpfull", "--helpshort")
USAGE = """Train image classifiers with Meta Pseudo Labels.

  python -m mpl_tf.main --dataset=digits_50
  python -m mpl_tf.main --dataset=cifar10_4k --scale=gpu --workdir=runs/cifar
  python -m mpl_tf.main --dataset=folder --labeled_dir=L --unlabeled_dir=U --test_dir=T
  python -m mpl_tf.main --config=RUN/config.json --workdir=NEW
  python -m mpl_tf.main --mode=predict --workdir=RUN --images=FOLDER

The defaults below are those of flags/defaults.flags. The flagfiles of the data set, the scale and the method change
them: DATASET.flags, scale_SCALE.flags, method_METHOD.flags; config.json in the run's folder has what a run took.
"""


@dataclasses.dataclass(frozen=True)
class Stored:
    """What stands in for the flagfiles."""

    config: str = flag(
        "config.json of an earlier run: its values instead of the flagfiles'", "", topic="Values of an earlier run"
    )


@dataclasses.dataclass(frozen=True)
class Common:
    """Flags that every program has."""

    flagfile: str = flag("read flags from this file, one a line, as if they stood here", "", topic="Every program")
    undefok: str = flag("flags that may be unknown, with commas between them", "")
    debug: bool = fields.like(Config, "debug", False)


def wants_help(argv):
    """Whether a command line asks for --help, in any of its forms."""
    ours = argv[: argv.index("--")] if "--" in argv else argv
    return bool(set(HELP) & set(ours))


def read(argv, *classes, further=False):
    """What a command line says.

    Args:
        argv: list of str, without the program's name.
        classes: of its flags; those of Common come to them.
        further: whether flags and words of another program may stand among them.
    Returns:
        (given, rest): dict of flag name to value of the flags that are given, unchecked; list of the arguments of the
        other program as they came.
    Raises:
        UsageError: an unknown flag, with the nearest known one; no value of the flag's type; a word that is no flag.
    """
    values, known = absl_flags.FlagValues(), fields.merged(*classes, Common)
    values.set_gnu_getopt(further)  # Flags after a word are read too: it may be the value of the other program's flag.
    for field in known.values():
        DEFINE[field.type](field.name, None, field.metadata["help"], flag_values=values)
    try:
        rest = values(["program", *argv], known_only=further)[1:]
    except absl_flags.UnrecognizedFlagError as error:
        near = did_you_mean(error.flagname, known, "--{}")
        raise UsageError(f"--{error.flagname}: there is no such flag; see --help{near}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--flagfile: {error}") from error
    except (absl_flags.Error, ValueError) as error:
        raise UsageError(f"{' '.join(str(error).split())}; see --help") from error
    if rest and not further:
        raise UsageError(f"expected flags only, got {rest[0]!r}; write --name=value")
    given = {name: values[name].value for name in known if values[name].value is not None}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}, rest


def defaults():
    """The trainer's values as flags/defaults.flags has them: dict of flag name to value."""
    return read([f"--flagfile={recipes() / 'defaults.flags'}"], Config)[0]


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
    if wants_help(argv):
        values = help_text.defaults(Stored, Common) | defaults()
        print(help_text.text(USAGE, values, Config, Stored, Common))
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


def _read(arguments):
    """Values of the trainer's flags in a list of arguments: dict of name to value, None where none was given."""
    given, _ = read(arguments, Config, Stored)
    return {name: given.get(name) for name in fields.merged(Config, Stored)}


def _recipe(asked):
    """Arguments that read the flagfiles of the data set, the scale and the method asked for."""
    dataset, scale = asked["dataset"], asked["scale"] or "paper"
    if dataset is None and asked["labeled_dir"]:
        dataset = "folder"
    for name, given, choices in (("dataset", dataset, known()), ("scale", scale, known("scale_"))):
        if given not in choices:
            near = did_you_mean(given, choices)
            raise UsageError(f"--{name}: expected one of {', '.join(choices)}, got {given or 'nothing'}{near}")
    names = [f"{dataset}.{asked['model']}", f"scale_{scale}", f"{dataset}.{scale}", f"method_{asked['method']}"]
    files = [recipes() / f"{name}.flags" for name in ("defaults", dataset, *names)]
    return [f"--flagfile={path}" for path in files if path.exists()] + [f"--dataset={dataset}", f"--scale={scale}"]


def _unparse(values):
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in values.items()]
