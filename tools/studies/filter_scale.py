"""The filter on simulated heaps of a million to a hundred million scored images: whether right, how long, memory.

    python -m tools.studies.filter_scale --images=1000000,10000000,100000000 --work=DIR --output=docs/results/filtering

For each size it makes the scores (filter_heap.py), selects among them with --dedup as a user does, in a process of its
own, and compares what is kept with what must be (filter_expected.py). What is done is not done again. A hundred million
images take about 20 GB in DIR. Writes scale.json and scale.md.
"""

import dataclasses
import json
import resource
import sys
import time
from pathlib import Path

from mpl_tf.base import files, quiet
from mpl_tf.settings.fields import flag

from .. import _command
from .filter_study import machine, watched

SHARE = 0.128  # Of the images that are asked for: 12,800 of 1,000 classes of a hundred million.
BRUTE = 1_000_000  # Images that are compared pair by pair too.


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the study."""

    images: str = flag("sizes of the heap, multiples of 20,000, with commas between them", "1000000", unit="images")
    seed: int = flag("of the heap", 0)
    shards: int = flag("largest heap of which the kept images are written as shards too", 10_000_000, unit="images")
    output: str = flag("folder of the results", "docs/results/filtering")
    work: str = flag("folder of the heaps", "runs/filter_scale")


COMMAND = _command.Command("filter_scale", __doc__, (Flags,))


def main(argv=None):
    """Run what has not been run and write the results; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values):
    quiet.import_tensorflow()
    from . import filter_heap  # Deferred: it brings Beam.

    heaps = [filter_heap.Heap(int(size), values.seed) for size in values.images.split(",")]
    sizes = [Simulated(heap, Path(values.work), heap.size <= values.shards) for heap in heaps]
    command = f"python -m tools.studies.filter_scale --images={values.images} --work=DIR --output={values.output}"
    results = {"command": command, "seed": values.seed, "sizes": [one.results() for one in sizes]}
    files.write_text(Path(values.output) / "scale.json", json.dumps(results, indent=2) + "\n")
    files.write_text(Path(values.output) / "scale.md", markdown(results))


class Simulated:
    """The parts of the study of one heap, each a dict of figures kept in WORK/SIZE/PART.json.

    Args:
        heap: filter_heap.Heap.
        work: Path for all heaps.
        shards: whether the kept images are written as shards too.
    """

    def __init__(self, heap, work, shards=True):
        from . import filter_heap  # Deferred: it brings Beam.

        self.heap, self.folder, self.shards = heap, work / str(heap.size), shards
        self.limit = round(SHARE * heap.size / filter_heap.CLASSES)

    def results(self):
        """All parts: dict."""
        parts = {part: self._once(part) for part in ("made", "selected", "compared")}
        return {"images": self.heap.size, "per_class": self.limit, "shards": self.shards} | parts

    def _once(self, part):
        path = self.folder / f"{part}.json"
        if not path.exists():
            print(f"{self.heap.size} images: {part}", flush=True)
            files.write_text(path, json.dumps(getattr(self, part)(), indent=2) + "\n")
        return json.loads(path.read_text())

    def made(self):
        """The scores."""
        from . import filter_heap  # Deferred: it brings Beam.

        started = time.perf_counter()
        filter_heap.make(self.heap, self.folder)
        return {"seconds": time.perf_counter() - started, "bytes": _bytes(self.folder / "scores")}

    def selected(self):
        """The choice among them, in a process of its own."""
        name = f"{__package__.rpartition('.')[0]}.filter_unlabeled"
        command = [
            sys.executable,
            "-m",
            name,
            f"--scores={self.folder / 'scores'}",
            f"--per_class={self.limit}",
            "--dedup",
        ]
        command += [] if self.shards else ["--shard_images=0"]
        before = _processor_seconds()
        seconds, peak = watched([*command, f"--output={self.folder / 'out'}"])
        summary = json.loads((self.folder / "out" / "summary.json").read_text())
        return {
            "seconds": seconds,
            "processor_seconds": _processor_seconds() - before,
            "seconds_to_selection": summary["seconds_to_selection"],
            "peak_bytes": peak,
            "kept": summary["kept_images"],
            "left_out": summary["rejected"],
            **machine(),
        }

    def compared(self):
        """What is kept, by each class's number, threshold and checksum of ids in their order; up to BRUTE all ids."""
        from . import filter_expected  # Deferred: it brings Beam.

        kept, overlaps = filter_expected.by_families(self.heap, self.limit)
        found = filter_expected.of_table(self.folder / "out" / "kept.parquet")
        expected = filter_expected.of_heap(self.heap, kept)
        figures = {
            "classes": len(expected),
            "classes_equal": sum(one == other for one, other in zip(found, expected, strict=True)),
            "overlaps": overlaps,
        }
        if self.heap.size <= BRUTE:
            figures["brute"] = filter_expected.against_brute(self.folder, self.limit)
        return figures


def _processor_seconds():
    """Of the processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _bytes(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def markdown(results):
    """The results as a page."""
    from . import filter_heap  # Deferred: it brings Beam.

    rows, about = "\n".join(map(_row, results["sizes"])), results["sizes"][-1]["selected"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    brute = " ".join(
        _brute(one["images"], one["compared"]["brute"]) for one in results["sizes"] if "brute" in one["compared"]
    )
    cores, load = (about["machine"][name] for name in ("cores", "load_average"))
    return f"""# The filter on large heaps

`{results["command"]}`

{cores} cores ({about["machine"]["machine"]}), shared with other programs: load {load[0]:.1f} at the end of the last;
seed {results["seed"]}; {versions}.

Simulated scores of {filter_heap.CLASSES:,} classes of unequal size. 1 % of the images are exact duplicates, 1 % near
ones (1 to {filter_heap.NEAR} bits off), and 10,000 are one placeholder with equal hashes. Selected with `--scores
--dedup` in one process, which writes the kept images (small JPEGs) as shards too where it says so.

| images | a class | kept | overlaps | made, s | chosen, s | whole, s | CPU, s | shards | peak, MiB | classes equal |
|---|---|---|---|---|---|---|---|---|---|---|
{rows}

`made`: the scores; `chosen`: from the begin to the choice; `whole`: with all tables, the report and the shards, which
take most of it. `classes equal`: of how many classes the number of kept images, the probability of the last and the
checksum of the ids in their order are those of a plain loop over all images from the most probable down, which computes
the heap anew and knows which images can be near each other. {brute}
"""


def _brute(images, found):
    same = "are the same images" if found["overlaps_equal"] else "are NOT the same images"
    return (
        f"Of the {images:,} images each was also compared, by its hash in the scores, with all kept ones by another "
        f"program: {found['kept_equal']:,} of {found['kept']:,} kept images are equal in class, rank and id, "
        f"and the overlaps {same}."
    )


def _row(one):
    selected, compared = one["selected"], one["compared"]
    figures = [
        f"{value:,}" for value in (one["images"], one["per_class"], selected["kept"], selected["left_out"]["overlaps"])
    ]
    figures += [
        f"{value:,.0f}" for value in (one["made"]["seconds"], selected["seconds_to_selection"], selected["seconds"])
    ]
    figures += [
        f"{selected['processor_seconds']:,.0f}" if "processor_seconds" in selected else "",
        "yes" if one["shards"] else "no",
        f"{selected['peak_bytes'] / 2**20:,.0f}",
        f"{compared['classes_equal']:,} of {compared['classes']:,}",
    ]
    return f"| {' | '.join(figures)} |"


if __name__ == "__main__":
    sys.exit(main())
