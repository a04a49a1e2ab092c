"""Command line to values: the only module that touches absl.flags.

`read` serves every program; its flags are classes of fields (settings/fields.py). `parse` makes the trainer's Config.
Its values, each over the one before: flags/defaults.flags, DATASET.flags, DATASET.MODEL.flags, scale_SCALE.flags,
DATASET.SCALE.flags, method_METHOD.flags, those that there are, the command line. `--config=RUN/config.json` stands in
for the files; so does WORKDIR/config.json with the modes of a finished run.
"""

import dataclasses
import re
from pathlib import Path

from absl import flags as absl_flags

from mpl_tf.base import storage
from mpl_tf.base.errors import UsageError, did_you_mean, together
from mpl_tf.settings import config_json, fields, help_text
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag
from mpl_tf.settings.frozen_settings import own_start

DEFINE = {
    str: absl_flags.DEFINE_string,
    int: absl_flags.DEFINE_integer,
    float: absl_flags.DEFINE_float,
    bool: absl_flags.DEFINE_boolean,
    tuple: absl_flags.DEFINE_multi_string,
}
AGAIN = "the command that trained the run writes it again"
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

    config: str = flag("config.json of a run: its values, not the flagfiles'", "", topic="Values of an earlier run")


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
        UsageError: all of: unknown flags, with the nearest known one; values that are not of the flag's type; words
            that are no flags.
    """
    given, rest, problems = _collected(argv, classes, further)
    if problems:
        raise together(problems)
    return given, rest


def _collected(argv, classes, further=False):
    """(given, rest, problems): as `read`, the problems as lines instead of raised; what is wrong is left out."""
    known, argv, problems = fields.merged(*classes, Common), list(argv), []
    while True:
        values = absl_flags.FlagValues()
        values.set_gnu_getopt(further)  # Flags after a word are read too: it may be the other program's flag's value.
        for field in known.values():
            DEFINE[field.type](field.name, None, field.metadata["help"], flag_values=values)
        try:
            rest = values(["program", *argv], known_only=further)[1:]
            break
        # absl stops at the first flag that is wrong: it is noted, taken out, and the others are read again.
        except absl_flags.UnrecognizedFlagError as error:
            wrong, near = error.flagname, did_you_mean(error.flagname, known, "--{}")
            problems.append(f"--{wrong}: there is no such flag; see --help{near}")
        except (OSError, UnicodeDecodeError) as error:
            wrong = "flagfile"
            problems.append(f"--flagfile: {error}")
        except (absl_flags.Error, ValueError) as error:
            told = " ".join(str(error).split())
            wrong = next(iter(re.findall(r"--?([\w-]+)", told)), "")
            problems.append(f"{told}; see --help")
        without = _without(argv, wrong)
        if len(without) == len(argv):  # It stands in a flagfile, whose other lines are left unread with it.
            without = _without(argv, "flagfile")
        if len(without) == len(argv):
            return {}, [], problems
        argv = without
    problems += [f"expected flags only, got {word!r}; write --name=value" for word in rest[:1] if not further]
    found = ((name, values[name].value) for name in known)
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in found if value is not None}
    return fields.renewed(known, given), rest, problems


def _without(argv, name):
    """A command line without its flags of that name, in any of absl's spellings."""
    spelled = re.compile(rf"--?(no)?{re.escape(name)}(=.*)?", re.DOTALL)
    left, before = [], ""  # The flag before that was taken out.
    for argument in argv:
        # The word after a flag without "=" was its value: left alone, it would end the reading of the flags behind it.
        value = before and "=" not in before and not re.match("--?[A-Za-z]", argument)
        before = argument if spelled.fullmatch(argument) else ""
        if not value and not before:
            left.append(argument)
    return left


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
        help_text.show(help_text.text(USAGE, values, Config, Stored, Common))
        raise SystemExit(0)
    given, _, problems = _collected(argv, (Config, Stored))
    return resolve(given, problems)


def resolve(given, problems=()):
    """The Config of what is given, over the flagfiles' values.

    Args:
        given: dict of flag name to value, of Config and Stored.
        problems: what was wrong before, a line each, told with the rest.
    Raises:
        UsageError: as `parse`.
    """
    # Which data set and scale there are is told where their flagfiles are looked up.
    told, wrong = fields.problems(Config, {name: given[name] for name in set(given) - {"dataset", "scale"}})
    problems = [*problems, *told]
    given = {name: value for name, value in given.items() if name not in wrong}
    try:
        base = _base(given)
    except UsageError as error:
        raise together([*problems, str(error)]) from error
    values = own_start(base, given) | {name: value for name, value in given.items() if name != "config"}
    missing = [field.name for field in dataclasses.fields(Config) if field.name not in values]
    problems += [f"--{name}: no flagfile gives it a value; give it on the command line" for name in missing]
    if missing:
        raise together(problems)
    config = Config(**values)
    if not config.workdir:
        config = config.replace(workdir=f"runs/{config.dataset}-{config.method}-seed{config.seed}")
    problems += config.problems(wrong)
    if problems:
        raise together(problems)
    return config


def _base(given):
    """Values under those of the command line: dict of flag name to value.

    Args:
        given: the command line's good values.
    Raises:
        UsageError: no such data set, no run where one must be, a config.json that is none.
    """
    stored = given.get("config")
    if given.get("mode") in Config.FINISHED and not stored:
        if not given.get("workdir"):
            raise UsageError(
                f"--workdir: expected the folder of a finished run for --mode={given['mode']}, got nothing"
            )
        storage.check(given["workdir"], "workdir")
        # A run's own copy is not edited: what is scored must be what was trained.
        stored = storage.path(given["workdir"]) / "config.json"
        if not storage.is_file(stored):
            raise UsageError(
                f"--workdir: expected the folder of a finished run, found no {stored}; give that of one; where the "
                f"file was lost {AGAIN}"
            )
        found = config_json.from_json(stored, intact=True, flag="workdir", remedy=AGAIN)
    elif stored:
        found = config_json.from_json(stored)
    if stored:
        return found | {"mode": "train", "workdir": "", "extend": False}
    return read(_recipe(given), Config)[0]


def _recipe(asked):
    """Arguments that read the flagfiles of the data set, the scale and the method asked for."""
    dataset, scale = asked.get("dataset"), asked.get("scale", "paper")
    if dataset is None and asked.get("labeled_dir"):
        dataset = "folder"
    wanted = (("dataset", dataset, known()), ("scale", scale, known("scale_")))
    problems = [
        f"--{name}: expected one of {', '.join(choices)}, got {given or 'nothing'}{did_you_mean(given, choices)}"
        for name, given, choices in wanted
        if given not in choices
    ]
    if problems:
        raise together(problems)
    names = [f"{dataset}.{asked.get('model')}", f"scale_{scale}", f"{dataset}.{scale}", f"method_{asked.get('method')}"]
    files = [recipes() / f"{name}.flags" for name in ("defaults", dataset, *names)]
    return [f"--flagfile={path}" for path in files if path.exists()] + [f"--dataset={dataset}", f"--scale={scale}"]
