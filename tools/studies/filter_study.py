"""What the filtering tool does to the real CIFAR-10: choice, precision, planted overlaps, memory, kill -9.

    python -m tools.studies.filter_study --data_dir=DIR --output=docs/results/filtering

Trains a small scorer on 4,000 labeled images, then runs tools.filter_unlabeled as a user does, each time in a process
of its own. A part that is done is not run again. Writes results.json and results.md; tools.benchmark --what=filter
measures throughput.
"""

import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
from absl import flags

from mpl_tf.base import files, quiet, versions
from mpl_tf.base.errors import RunError, UsageError

from . import filter_reference

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


def main(argv=None):
    """Run what has not been run and write the results; returns the exit status."""
    values = flags.FlagValues()
    flags.DEFINE_string("data_dir", "", "folder of TFDS data sets; empty: ~/tensorflow_datasets", flag_values=values)
    flags.DEFINE_string("output", "docs/results/filtering", "folder of the results", flag_values=values)
    flags.DEFINE_string("work", "runs/filter_study", "folder of the runs", flag_values=values)
    try:
        values(["filter_study", *(sys.argv[1:] if argv is None else argv)])
        quiet.import_tensorflow()
        results = Study(values.data_dir, Path(values.work)).results()
    except (flags.Error, UsageError, RunError, subprocess.CalledProcessError) as error:
        print(f"filter_study: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1 if isinstance(error, RunError | subprocess.CalledProcessError) else 2
    results["command"] = f"python -m tools.studies.filter_study --data_dir=DIR --output={values.output}"
    files.write_text(Path(values.output) / "results.json", json.dumps(results, indent=2) + "\n")
    files.write_text(Path(values.output) / "results.md", markdown(results))
    return 0


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
            "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "load_average": os.getloadavg()},
            **_versions(),
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
        random, moments = np.random.default_rng(0), []
        chunks = len((self.work / "choice" / "scores" / "chunks.jsonl").read_text().splitlines())
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
        started, peak = time.perf_counter(), 0
        process = subprocess.Popen(self._command(name, *more, images=images))
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.1)
        if process.returncode:
            raise RunError(f"filter_unlabeled ended with {process.returncode}; its message is above")
        return time.perf_counter() - started, peak

    def _reasons(self, name):
        summary = json.loads((self.work / name / "summary.json").read_text())
        return {"kept": summary["kept_images"], "left_out": summary["rejected"]}

    def _call(self, module, *arguments):
        subprocess.run([sys.executable, "-m", module, *arguments], check=True)


def _versions():
    more = ("apache-beam", "pyarrow", "pillow", "ImageHash")
    found = versions.versions()
    return found | {"versions": found["versions"] | {name: metadata.version(name) for name in more}}


def _resident(process):
    """Largest resident memory so far of another process, bytes; its own, where getrusage counts its parent's too."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return max((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), default=0)


def markdown(results):
    """The results as a page."""
    choice, planted, memory, killed = (results[part] for part in ("choice", "planted", "memory", "killed"))
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    rows = "\n".join(f"| {kind} | {about['images']} | {about['removed']} |" for kind, about in planted["kinds"].items())
    kills = ", ".join(str(one["chunks_scored"]) for one in killed["killed"])
    names = results["choice"]["precision"]
    precision = "\n".join(f"| {name} | {100 * share:.1f} |" for name, share in names.items())
    training, same = results["training"], sum(killed["equal_bytes"].values())
    return f"""# The filtering tool on CIFAR-10

`{results["command"]}`

{machine["cores"]} cores ({machine["machine"]}), load {machine["load_average"][0]:.1f}; {versions}.
The images are a JPEG re-encoding of CIFAR-10. The scorer is a narrow CNN with {100 * results["scorer_test_top1"]:.1f} %
test accuracy.

## The choice

The 50,000 training images as if unlabeled, `--per_class=1000 --exclude=tfds:cifar10/test`: {choice["kept"]} kept,
{choice["left_out"]["overlaps"]} left out as overlaps. {choice["ids_equal"]} of {
        choice["ids"]
    } rows of kept.parquet equal those of a
brute-force reference in numpy in class, rank and id; the overlaps equal those of comparing all pairs of ImageHash's own
hashes: {choice["overlaps_equal"]}. Of all training images the scorer is right on {
        100 * choice["precision_all"]:.1f} %, of those kept on
{100 * choice["precision_kept"]:.1f} %:

| class | right among the kept, % |
|---|---|
{precision}

MPL trained on {training["num_labeled"]} labeled images and `--unlabeled_dir` = these {training["num_unlabeled"]}
({training["steps"]} steps: it runs, no more): test top-1 {100 * training["test"]["top1"]:.1f} % of {
        training["test"]["n"]
    }.

## Planted overlaps

500 test images among the 50,000, changed as said:

| change | planted | removed |
|---|---|---|
{rows}

Of the 50,000 others {planted["innocent_removed"]} were removed ({
        100 * planted["innocent_removed"] / planted["innocent"]:.3f} %); CIFAR-10 has near-duplicates
between its training and its test images, and report.html shows these side by side.

## Memory and kill -9

Largest resident memory: {memory["peak_bytes_10000"] / 2**20:.0f} MiB for 10,000 images, {
        memory["peak_bytes_50000"] / 2**20:.0f} MiB for 50,000
({memory["ratio"]:.2f} times). Killed when {kills} of {
        killed["chunks"]
    } chunks were scored, and started again each time:
{same} of {len(killed["equal_bytes"])} files have the bytes of the undisturbed run ({", ".join(killed["equal_bytes"])}).
"""


if __name__ == "__main__":
    sys.exit(main())
