"""What the filtering tool does to the real CIFAR-10: choice, precision, planted overlaps, memory, kill -9.

    python -m tools.studies.filter_study --data_dir=DIR --output=docs/results/filtering

Trains a small scorer on 4,000 labeled images, then runs tools.filter_unlabeled as a user does, each time in a process
of its own. A part that is done is not run again. Writes results.json and results.md; tools.benchmark --what=filter
measures throughput.
"""

import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np

from mpl_tf.base import files, quiet, versions
from mpl_tf.base.errors import RunError
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag, like

from .. import _command
from . import filter_page, filter_reference

TRAIN = (
    *("--dataset=cifar10_4k", "--method=supervised", "--model=narrow_cnn", "--train_steps=1000", "--labeled_batch=64"),
    *("--steps_per_epoch=250", "--steps_per_execution=10", "--teacher_warmup_steps=50", "--learning_rate_batch=0"),
    *("--teacher_learning_rate=0.05", "--finetune_steps=0"),
)
MPL = (
    *("--dataset=folder", "--model=narrow_cnn", "--train_steps=100", "--steps_per_epoch=50", "--finetune_steps=20"),
    *("--labeled_batch=16", "--teacher_warmup_steps=10", "--student_wait_steps=0", "--student_warmup_steps=10"),
)
KILLS = 3


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the study."""

    data_dir: str = like(Config, "data_dir", "")
    output: str = flag("folder of the results", "docs/results/filtering")
    work: str = flag("folder of the runs", "runs/filter_study")


COMMAND = _command.Command("filter_study", __doc__, (Flags,))


def main(argv=None):
    """Run what has not been run and write the results; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values):
    quiet.import_tensorflow()
    results = Study(values.data_dir, Path(values.work)).results()
    results["command"] = f"python -m tools.studies.filter_study --data_dir=DIR --output={values.output}"
    files.write_text(Path(values.output) / "results.json", json.dumps(results, indent=2) + "\n")
    files.write_text(Path(values.output) / "results.md", filter_page.markdown(results))


class Study:
    """The parts of the study, each a dict of figures kept in WORK/PART.json.

    Args:
        data_dir: folder of TFDS data sets.
        work: Path for the runs.
    """

    def __init__(self, data_dir, work):
        self.data_dir, self.work, self.model = data_dir, work, work / "scorer" / "student.keras"

    def results(self):
        """All parts, with the machine: dict."""
        if not self.model.exists():
            self._call("mpl_tf.main", *TRAIN, f"--data_dir={self.data_dir}", f"--workdir={self.work / 'scorer'}")
        scorer = json.loads((self.work / "scorer" / "results.json").read_text())
        parts = ("choice", "training", "planted", "memory", "killed")
        return {
            "scorer_test_top1": scorer["test"]["top1"],
            **{part: self._once(part) for part in parts},
            **machine(),
        }

    def _once(self, part):
        path = self.work / f"{part}.json"
        if not path.exists():
            print(part, flush=True)
            files.write_text(path, json.dumps(getattr(self, part)(), indent=2) + "\n")
        return json.loads(path.read_text())

    def choice(self):
        """The 50,000 training images, 1,000 a class, none near the test set; against a plain reference."""
        seconds, _ = self._filter("choice", "--exclude=tfds:cifar10/test")
        figures = filter_reference.compare(self.data_dir, self.model, self.work / "choice", 1000)
        return figures | {"seconds": seconds, **self._reasons("choice")}

    def training(self):
        """A short MPL run whose unlabeled images are what was kept."""
        filter_reference.export(self.data_dir, self.work / "folders", labeled=400, test=1000)
        folders = [f"--{name}_dir={self.work / 'folders' / name}" for name in ("labeled", "test")]
        workdir = self.work / "mpl"
        self._call("mpl_tf.main", *MPL, *folders, f"--unlabeled_dir={self.work / 'choice'}", f"--workdir={workdir}")
        results = json.loads((workdir / "results.json").read_text())
        return {name: results[name] for name in ("num_labeled", "num_unlabeled", "steps", "test")}

    def planted(self):
        """500 changed test images among the unlabeled."""
        shard = self.work / "planted.tfrecord"
        filter_reference.plant(self.data_dir, shard)
        self._filter("planted", "--exclude=tfds:cifar10/test", f"--images={shard}")
        return filter_reference.planted(self.work / "planted")

    def memory(self):
        """Largest resident memory of a whole run, of 10,000 and of 50,000 images."""
        peaks = {count: self._filter(f"memory{count}", images=f"train[:{count}]")[1] for count in (10_000, 50_000)}
        return {f"peak_bytes_{count}": peak for count, peak in peaks.items()} | {"ratio": peaks[50_000] / peaks[10_000]}

    def killed(self):
        """kill -9 at random moments, of the scoring's progress; the tables against those of the run `choice`."""
        # Each time the scoring has come as far as the next of these shares, and up to a second further.
        random, moments = np.random.default_rng(0), []
        chunks = (self.work / "choice" / "scores" / "chunks.jsonl").read_text().count('"number"')
        for share in np.sort(random.uniform(0, 1, KILLS)):
            process = subprocess.Popen(self._command("killed", "--exclude=tfds:cifar10/test"))
            while self._scored("killed") < share * chunks and process.poll() is None:
                time.sleep(0.01)
            time.sleep(float(random.uniform(0, 1)))
            process.kill()
            process.wait()
            moments.append({"chunks_scored": self._scored("killed"), "killed": process.returncode == -9})
        self._filter("killed", "--exclude=tfds:cifar10/test")
        names = ["kept.parquet", "rejected.parquet", "problems.parquet"]
        names += [path.name for path in sorted((self.work / "choice").glob("kept-*.tfrecord"))]
        same = {name: self._bytes("choice", name) == self._bytes("killed", name) for name in names}
        return {"killed": moments, "chunks": chunks, "equal_bytes": same}

    def _scored(self, name):
        return len(list((self.work / name / "scores").glob("scores-*.parquet")))

    def _bytes(self, run, name):
        return (self.work / run / name).read_bytes()

    def _command(self, name, *more, images="train"):
        command = [
            sys.executable,
            "-m",
            f"{__package__.rpartition('.')[0]}.filter_unlabeled",
            f"--images=tfds:cifar10/{images}",
            *more,
        ]
        command += [f"--data_dir={self.data_dir}", f"--model={self.model}", "--per_class=1000"]
        return [*command, f"--output={self.work / name}"]

    def _filter(self, name, *more, images="train"):
        """Run the tool; returns (seconds, peak memory in bytes)."""
        return watched(self._command(name, *more, images=images))

    def _reasons(self, name):
        summary = json.loads((self.work / name / "summary.json").read_text())
        return {"kept": summary["kept_images"], "left_out": summary["rejected"]}

    def _call(self, module, *arguments):
        status = subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode
        if status:
            raise RunError(f"{module} ended with {status}; its message is above")


def watched(command):
    """Run the tool's command (list of str) in a process of its own; returns (seconds, its peak memory in bytes)."""
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise RunError(f"filter_unlabeled ended with {process.returncode}; its message is above")
    return time.perf_counter() - started, peak


def machine():
    """dict of the versions and the machine, as results.json has them."""
    more = ("apache-beam", "pyarrow", "pillow", "ImageHash")
    found = versions.versions()
    about = {"cores": os.cpu_count(), "machine": platform.machine(), "load_average": os.getloadavg()}
    return (
        {"machine": about} | found | {"versions": found["versions"] | {name: metadata.version(name) for name in more}}
    )


def _resident(process):
    """Largest resident memory so far of another process, bytes; its own, where getrusage counts its parent's too."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return max((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), default=0)


if __name__ == "__main__":
    sys.exit(main())
