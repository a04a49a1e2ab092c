"""What becomes of a run when a process, a disk or a file fails: a campaign of thousands of faults.

    python -m tools.studies.faults --output=docs/results/faults

Trains a short run of each method under strace, then disturbs it: a kill before each of its file operations, signals, a
second writer, flipped bits and cuts in every file, full disks. After each the same command is given again, and a
refusal's advice followed. Every trial is a row of OUTPUT/trials.csv; one that is there is not tried again. Writes
OUTPUT/table.md. Needs strace; full disks need root.
"""

import csv
import dataclasses
import sys
import time
from pathlib import Path

from mpl_tf.base import quiet
from mpl_tf.base.errors import UsageError
from mpl_tf.settings.fields import flag

from .. import _command
from .._faults import page

METHODS = ("mpl", "uda", "meta_semi", "noisy_student", "reduced_mpl")
KINDS = ("kills", "damage", "signals", "writers", "disks")
# A few steps with two checkpoints each, on digits; waits and warm-ups would take all of so few.
SHORT = (
    *("--dataset=digits_50", "--model=narrow_cnn", "--train_steps=4", "--finetune_steps=2", "--eval_batch=449"),
    *("--steps_per_epoch=2", "--steps_per_execution=1", "--keep_checkpoints=2", "--labeled_batch=10", "--mu=1"),
    *("--finetune_batch=10", "--teacher_warmup_steps=0", "--student_warmup_steps=0", "--uda_ramp_steps=0"),
)


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the campaign."""

    output: str = flag("folder of the results", "docs/results/faults")
    work: str = flag("folder of the runs", "runs/faults")
    methods: str = flag("which, separated by commas", ",".join(METHODS))
    kinds: str = flag("kinds of faults, separated by commas", ",".join(KINDS))


COMMAND = _command.Command("faults", __doc__, (Flags,), stopped="the same command goes on after the last trial")


def main(argv=None):
    """Try what was not tried yet and write the table; returns the exit status, 1 where a run went wrong."""
    return COMMAND.run(argv, _campaign)


def _campaign(values):
    for name, known in (("methods", METHODS), ("kinds", KINDS)):
        unknown = set(getattr(values, name).split(",")) - set(known)
        if unknown:
            raise UsageError(f"--{name}: expected some of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    quiet.import_tensorflow()
    trials = Trials(Path(values.output) / "trials.csv")
    for method in values.methods.split(","):
        try_all(method, values.kinds.split(","), Path(values.work).absolute() / method, trials)
        page.write(
            trials.rows, Path(values.output) / "table.md", f"python -m tools.studies.faults --output={values.output}"
        )
    return 1 if page.failed(trials.rows) else 0


def try_all(name, kinds, work, trials):
    """All trials of a method that are not among `trials`, each added to them.

    Args:
        name: of the method.
        kinds: some of KINDS.
        work: absolute Path for the runs.
        trials: Trials.
    """
    from .._faults import processes
    from .._faults import trials as faults

    makers = {"kills": faults.kills, "damage": faults.damage, "signals": processes.signals}
    makers |= {"writers": processes.writers, "disks": processes.disks}
    method = faults.Method([*SHORT, f"--method={name}"], work)
    for kind in kinds:
        if kind == "disks" and not processes.can_mount():
            print(f"{name}: disks are not tried: only root may mount one", flush=True)
            continue
        for fault, attempt in makers[kind](method):
            if not trials.done(name, kind, fault):
                started = time.perf_counter()
                outcome, why = attempt()
                trials.add(name, kind, fault, outcome, why.replace(str(work), "WORK"), time.perf_counter() - started)


class Trials:
    """The table of trials, kept in a file that grows by a row a trial.

    Args:
        path: Path of the file.

    Attributes:
        rows: list of dict of page.COLUMNS.
    """

    def __init__(self, path):
        self.path, self.rows = path, []
        if path.exists():
            with open(path, newline="") as file:
                self.rows = list(csv.DictReader(file))
        self._done = {(row["method"], row["kind"], row["fault"]) for row in self.rows}

    def done(self, *trial):
        """Whether a trial, (method, kind, fault), is in it."""
        return trial in self._done

    def add(self, method, kind, fault, outcome, why, seconds):
        """Append a trial; printed too."""
        row = dict(zip(page.COLUMNS, (method, kind, fault, outcome, f"{seconds:.1f}", why), strict=True))
        print(f"{method} {kind} {fault}: {outcome} {why[:200]}", flush=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, page.COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow(row)
        self.rows.append(row)


if __name__ == "__main__":
    sys.exit(main())
