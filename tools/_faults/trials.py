"""The faults, kind by kind: each kind is a generator of (name, function that tries it and returns a Verdict)."""

import functools
import re
import shutil
from pathlib import Path

from mpl_tf.base.errors import RunError

from . import judge, processes, record

RANDOM = re.compile(r"(\.partial-|\.tmp|tempstate|tfevents\.)[^ /]+")
STORE = re.compile(r"(-[0-9a-f]{12}-)[0-9a-f]{12}")  # The digest of a teacher, whose file has its time.
STATES = {  # Where damage is done: before the operation with that path, the first or the last such.
    "in the main phase": ("checkpoints/train/ckpt-4.index", 0),
    "before results.json": ("results.json", -1),
}


class Method:
    """A short run of a method, undisturbed, in WORK/METHOD, its file operations, and the program to disturb it with.

    Args:
        arguments: list of str, flags of the run.
        work: Path, a folder for the runs.
    """

    def __init__(self, arguments, work):
        self.program, self.work, self.place = judge.Program(arguments), work, work / "run"
        self.trial = work / "trial"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)

        # In a process of its own, as a user's; what is recorded must be all there is.
        self.operations = record.record(
            processes.command([*arguments, f"--workdir={self.place}"]), self.place, work / "strace.txt"
        )
        self.expected = judge.contents(self.place)
        self.score = self.program.evaluate(self.place).printed
        replayed = work / "replayed"
        for _ in self.states(replayed):
            pass
        if _bytes(replayed) != _bytes(self.place):
            raise RunError(f"{self.place}: expected the recorded operations to make these files, they make others")
        shutil.rmtree(replayed)

    def states(self, folder):
        """Make all states of the run in a folder, one after the other; yields (number, the operation that comes next).

        The last one, the finished run, has None in place of the operation.
        """
        shutil.rmtree(folder, ignore_errors=True)
        for number, operation in enumerate(self.operations):
            yield number, operation
            record.apply(operation, folder)
        yield len(self.operations), None

    def at(self, path, which):
        """Put the state before an operation that gives a file its name into `trial`: the first (0) or last (-1) one."""
        matching = [n for n, o in enumerate(self.operations) if o.kind == "rename" and o.data == path]
        for number, _ in self.states(self.trial):
            if number == matching[which]:
                return

    def goes_on(self, ignored=()):
        """Verdict of the same command on `trial`, any advice followed; `ignored`: see judge.judge."""

        def again():
            return judge.judge(self.program.train(self.trial), self.trial, self.expected, ignored)

        return judge.followed(again(), self.trial, again)


def _bytes(folder):
    """Every file of a folder: dict of relative path to bytes; None for folders. The lock's file has its time."""
    paths = sorted(Path(folder).rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def kills(method):
    """A kill before each file operation."""
    current = method.work / "current"
    for number, operation in method.states(current):

        def killed():
            shutil.rmtree(method.trial, ignore_errors=True)
            if current.exists():
                shutil.copytree(current, method.trial)
            return method.goes_on()

        yield f"{number}: {f'before {_short(operation)}' if operation else 'at the end'}", killed


def _short(operation):
    """An operation in words that are the same in each recording: names without what is random or a time in them."""
    return STORE.sub(r"\1*", RANDOM.sub(r"\1*", str(operation)))


def damage(method):
    """A flip, a cut and the like in every file of a run: in its main phase, before its end, and finished."""
    for state, (path, which) in STATES.items():
        method.at(path, which)
        base = method.work / "base"
        shutil.rmtree(base, ignore_errors=True)
        shutil.copytree(method.trial, base)
        yield from _damages(method, base, state, functools.partial(_unfinished, method))
    yield from _damages(method, method.place, "finished", functools.partial(_finished, method))


def _damages(method, base, state, then):
    for path in sorted(path.relative_to(base) for path in base.rglob("*") if path.is_file()):
        for name, harm in HARMS.items():

            def damaged(path=path, harm=harm):
                shutil.rmtree(method.trial, ignore_errors=True)
                shutil.copytree(base, method.trial)
                harm(method.trial / path)
                return then(path)

            yield f"{state}: {_short(path)} {name}", damaged


def _unfinished(method, path):
    """Verdict of a run that was cut off, with damage in a file: the same command."""
    # Nothing reads the table of a phase that is done, as its network in NAME.keras says.
    done = path.suffix == ".csv" and (method.trial / path).with_suffix(".keras").exists()
    return method.goes_on((path.name,) if done else ())


def _finished(method, path):
    """Verdict of a finished run with damage in a file: the training command once more, then --mode=evaluate."""
    # Nothing reads the other files again; the command that trained the run leaves them as they are.
    ignored = () if str(path) in ("student.keras", "results.json") else (path.name,)
    trained = method.goes_on(ignored)
    if trained.outcome != judge.RECOVERED:
        return trained
    told = method.program.evaluate(method.trial)
    if told.status == 0 and told.printed != method.score:
        return judge.Verdict(judge.WRONG, f"another score: {told.printed}")
    return judge.judge(told, method.trial, method.expected, ignored)


def flip(path):
    """Flip one bit in the middle."""
    data = bytearray(path.read_bytes())
    if data:
        data[len(data) // 2] ^= 1 << 4
        path.write_bytes(data)


def cut(path):
    """Keep the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


HARMS = {
    "bit flipped": flip,
    "cut in half": cut,
    "gone": Path.unlink,
}
