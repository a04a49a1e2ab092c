"""What every program here does around its work: flags, --help, one line for an error, the exit status."""

import dataclasses
import enum
import json
import sys
import traceback

from mpl_tf.base import console, files, storage
from mpl_tf.base.errors import RunError, UsageError, unforeseen
from mpl_tf.settings import fields, flags, help_text
from mpl_tf.settings.config import Config

INTERRUPTED = 130  # As a shell has it for a program that Ctrl-C ended.


class Others(enum.Enum):
    """Whose arguments a program takes beside its own, and what --help says of it."""

    NONE = ""
    TRAINER = "Any flag of mpl_tf.main may stand among these."
    AFTER_DASHES = "The flags of mpl_tf.main come after `--`."
    BEAM = "Any flag of Apache Beam may stand among these."


@dataclasses.dataclass(frozen=True)
class Figures:
    """Flags of the programs that measure."""

    json: str = fields.flag("file for the figures, as JSON; empty: none", "")


@dataclasses.dataclass(frozen=True)
class Command:
    """A program.

    Args:
        name: what its messages start with.
        about: what it does and how it is called, the head of --help.
        classes: of its flags, frozen dataclasses of settings.fields.flag.
        others: whose arguments it takes beside its own.
        urls: those of its flags whose files and folders may be in a bucket; URLs of the others are refused.
        stopped: what the same command does after Ctrl-C, for the user.
    """

    name: str
    about: str
    classes: tuple
    others: Others = Others.NONE
    stopped: str = ""
    urls: tuple = ("json",)

    def run(self, argv, work):
        """Read the flags and work.

        Args:
            argv: list of str without the program's name; sys.argv's if None.
            work: function of an instance of each class and, if it takes any, of the list of the others' arguments; it
                returns the exit status, None for 0.
        Returns:
            The exit status: the work's; 2 for a usage error and 1 for a failed run, each with one line on stderr; 130
            after Ctrl-C.
        """
        argv, debug = sys.argv[1:] if argv is None else argv, False
        console.take_any_name()
        if flags.wants_help(argv):
            help_text.show(self.help())
            return 0
        try:
            given, others = self._read(argv)
            debug = given.get("debug", False)
            self._check_urls(given)
            settings = [fields.make(cls, given) for cls in self.classes]
            return work(*settings, *([] if self.others is Others.NONE else [others])) or 0
        except (UsageError, RunError) as error:
            return self._end(error, debug)
        except KeyboardInterrupt:
            print(f"{self.name}: stopped{self.stopped and '; '}{self.stopped}", file=sys.stderr)
            return INTERRUPTED
        except Exception as error:
            return self._end(unforeseen(error), debug)

    def _check_urls(self, given):
        """Refuse URLs of buckets that cannot be reached, and those of flags that take none, before any work."""
        for name, values in given.items():
            for value in values if isinstance(values, list | tuple) else (values,):
                if not storage.is_url(str(value)):
                    continue
                if name not in self.urls:
                    raise UsageError(
                        f"--{name}: expected a path on a disk, got {value}; this program reads and writes "
                        "it there alone: copy what it needs from the bucket, and what it leaves there later"
                    )
                storage.check(value, name)

    def help(self):
        """The text of --help."""
        classes = (*self.classes, flags.Common)
        head = f"{self.about.strip()}\n\n{self.others.value}".strip()
        return help_text.text(head, help_text.defaults(*classes), *classes)

    def _read(self, argv):
        """(given, others): values of its own flags by name, and the others' arguments."""
        if self.others is Others.NONE:
            return flags.read(argv, *self.classes)
        if self.others is Others.AFTER_DASHES:
            if "--" not in argv:
                raise UsageError("expected `--` between the program's own flags and those of mpl_tf.main, got none")
            place = argv.index("--")
            return flags.read(argv[:place], *self.classes)[0], argv[place + 1 :]
        if self.others is Others.TRAINER:  # What neither of the two programs knows is refused here.
            flags.read(argv, *self.classes, Config, flags.Stored)
        return flags.read(argv, *self.classes, further=True)

    def _end(self, error, debug):
        if debug:
            traceback.print_exception(error)
        print(f"{self.name}: error: {storage.named(' '.join(str(error).split()))}", file=sys.stderr)
        return error.status


def show_figures(figures, path=""):
    """Print a dict as JSON, and write it to a file, where a path is given."""
    print(json.dumps(figures, indent=2))
    write_json(path, figures)


def write_json(path, figures):
    """Write a dict as JSON to a file, where a path is given."""
    if path:
        files.write_text(path, json.dumps(figures, indent=2) + "\n")
