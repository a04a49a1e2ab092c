"""Which copies of evaluation images the filtering tool finds, by hashes, by features and by both.

On CIFAR-10, on large photographs and on large pictures with little texture; and what it takes for copies that are none.

    python -m tools.studies.overlap_study --data_dir=DIR --model=RUN/student.keras --weights=FILE.npz --work=WORK

WEIGHTS are EfficientNet-Lite0's, trained on ImageNet, of the backbone; MODEL is the scorer of filter_study.py. Each set
is scored once by tools.filter_unlabeled, as a user does, and chosen from by --scores for each of --overlap. What is
done is not done again. Writes overlaps.json and overlaps.md.

The thresholds of mpl_tf/filtering/smooth.py and embedding.py were chosen on other images: the first of the test set,
and every other window of the large photographs.
"""

import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mpl_tf.base import files, quiet
from mpl_tf.base.errors import RunError
from mpl_tf.settings.config import Config
from mpl_tf.settings.fields import flag, like

from .. import _command
from . import filter_reference, plants

WAYS = ("hash", "embedding", "both")
PLANTED, SMOOTH, CELLS = 200, 40, (3, 4, 6, 8)  # Images that copies are made of; soft colours across a smooth one.
# Images of CIFAR-10: evaluation ones from here on, and those that are no copies.
EVALUATION, OTHERS = 5000, 10_000


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of the study."""

    model: str = flag("the scorer, RUN/student.keras of CIFAR-10")
    weights: str = flag("EfficientNet-Lite0's weights, a .npz file with PyTorch's names")
    data_dir: str = like(Config, "data_dir", "")
    output: str = flag("folder of the results", "docs/results/filtering")
    work: str = flag("folder of the runs", "runs/overlap_study")


COMMAND = _command.Command("overlap_study", __doc__, (Flags,))


def main(argv=None):
    """Run what has not been run and write the results; returns the exit status."""
    return COMMAND.run(argv, _report)


def _report(values):
    quiet.import_tensorflow()
    work, results = Path(values.work), {}
    for name, make, side in (("small", _small, 0), ("small_backbone", _small, 64), ("large_backbone", _large, 96)):
        print(name, flush=True)
        folder = work / name
        if not (folder / "images.tfrecord").exists():
            _write(folder, *make(values.data_dir))
        backbone = _backbone(values.weights, side, work / f"backbone{side}.keras") if side else None
        results[name] = {way: _counted(_filtered(folder, way, values.model, backbone)) for way in WAYS}
    results["command"] = "python -m tools.studies.overlap_study --data_dir=DIR --model=RUN/student.keras --weights=FILE"
    files.write_text(Path(values.output) / "overlaps.json", json.dumps(results, indent=2) + "\n")
    files.write_text(Path(values.output) / "overlaps.md", markdown(results))


def _small(data_dir):
    """(evaluation images, {name: images that copies are made of}, others) of CIFAR-10."""
    tests, others = _pictures(data_dir, "test", EVALUATION, 1000), _pictures(data_dir, "train", OTHERS, 3000)
    return tests, {"": tests[:PLANTED]}, others


def _large(data_dir):
    """The same at 512 x 384: windows of photographs, smooth pictures, and CIFAR-10 enlarged to compare them with."""
    windows = plants.large_photographs()
    small, more = _pictures(data_dir, "test", EVALUATION, 180), _pictures(data_dir, "train", OTHERS, 600)
    smooth = [plants.enlarged(one, CELLS[number % 4]) for number, one in enumerate(small[:SMOOTH])]
    others = [plants.enlarged(one, CELLS[number % 4]) for number, one in enumerate(more[:300])]
    others += [*windows[::2], *map(plants.enlarged, more[300:])]
    made = {"photographs": windows[1::2], "smooth": smooth}
    return [*windows[1::2], *smooth, *map(plants.enlarged, small[SMOOTH:])], made, others


def _pictures(data_dir, split, first, count):
    return [filter_reference.pixels(one) for one in filter_reference.read(data_dir, split, first + count)[0][first:]]


def _write(folder, evaluation, made, others):
    """Write the evaluation images, and the copies and the others as if unlabeled, into shards in a folder."""
    import tensorflow as tf

    from mpl_tf.data import shards

    folder.mkdir(parents=True, exist_ok=True)
    copies = [
        (f"planted/{name}/{kind}/{number}", change, image)
        for name, images in made.items()
        for kind, change in plants.KINDS.items()
        for number, image in enumerate(images)
    ]
    copies += [(f"other/{number}", plants.saved, image) for number, image in enumerate(others)]
    known = [(f"evaluation/{number}", plants.saved, image) for number, image in enumerate(evaluation)]
    for name, every in (("evaluation", known), ("images", copies)):

        def save(path, every=every):
            with tf.io.TFRecordWriter(str(path)) as writer, ThreadPoolExecutor(4) as pool:
                for (one, *_), encoded in zip(every, pool.map(_made, every), strict=True):
                    writer.write(shards.serialize(encoded, one, -1, -1.0))

        files.write(folder / f"{name}.tfrecord", save)


def _made(about):
    _, change, image = about
    return change(image)


def _backbone(weights, side, path):
    """EfficientNet-Lite0 without classifier for images of a side, in a file; returns its path."""
    if not path.exists():
        from mpl_tf import models
        from mpl_tf.models import frozen
        from mpl_tf.models import weights as reader

        network = models.build("efficientnet_lite0", shape=(side, side, 3), num_classes=1000)
        reader.load(network, "efficientnet_lite0", weights)
        made = frozen.backbone(network, (side, side, 3), [1 / 128] * 3, [-127 / 128] * 3)
        files.write(path, made.save)
    return path


def _filtered(folder, way, model, backbone):
    """Run the tool with a way to find overlaps; returns the folder of its results."""
    both, output = folder / "both", folder / way
    command = [sys.executable, "-m", f"{__package__.rpartition('.')[0]}.filter_unlabeled", f"--overlap={way}"]
    command += [f"--exclude={folder / 'evaluation.tfrecord'}", f"--output={output}", "--per_class=1000000"]
    if way == "both":
        command += [f"--images={folder / 'images.tfrecord'}", f"--model={model}"]
        command += [f"--backbone={backbone}"] if backbone else []
    else:
        _filtered(folder, "both", model, backbone)
        command += [f"--scores={both / 'scores'}"]
    if not (output / "summary.json").exists() and subprocess.run(command, check=False).returncode:
        raise RunError("filter_unlabeled failed; its message is above")
    return output


def _counted(output):
    """What became of the copies and of the others in the tool's results.

    Args:
        output: Path of the results.
    Returns:
        dict: kinds, {set: {kind: [found, planted]}}, others and others_removed, and least_similarity if there is one.
    """
    import pyarrow.parquet as pq

    rows = [row for name in ("kept", "rejected") for row in pq.read_table(output / f"{name}.parquet").to_pylist()]
    kinds, others, removed = {}, 0, 0
    for row in rows:
        found = row.get("reason") == "overlaps"
        what, *place = row["id"].split("/")
        if what == "planted":
            counts = kinds.setdefault(place[0], {}).setdefault(place[1], [0, 0])
            counts[0] += found
            counts[1] += 1
        else:
            others, removed = others + 1, removed + found
    summary = json.loads((output / "summary.json").read_text())["evaluation_images"]
    return {"kinds": kinds, "others": others, "others_removed": removed} | {
        name: summary[name] for name in ("least_similarity",) if name in summary
    }


def markdown(results):
    """The results as a page."""
    heads, columns = [], []
    for name, title in (
        ("small", "CIFAR-10, the scorer's features"),
        ("small_backbone", "CIFAR-10, backbone"),
        ("large_backbone", "large photographs, backbone"),
        ("large_backbone", "smooth pictures, backbone"),
    ):
        part = {"large photographs": "photographs", "smooth pictures": "smooth"}.get(title.split(",")[0], "")
        for way in WAYS:
            if way == "hash" and name == "small_backbone":  # As beside it.
                continue
            about = results[name][way]
            heads.append(f"{title}: {way}")
            columns.append([*(about["kinds"][part][kind] for kind in plants.KINDS), about])
    planted = {head.split(",")[0]: column[0][1] for head, column in zip(heads, columns, strict=True)}
    lines = ["| change | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for number, kind in enumerate(plants.KINDS):
        lines.append(f"| {kind} | " + " | ".join(str(column[number][0]) for column in columns) + " |")
    shares = [f"{one[-1]['others_removed']} of {one[-1]['others']}" for one in columns]
    lines.append("| **others removed** | " + " | ".join(shares) + " |")
    cosines = [f"{one[-1]['least_similarity']:.3f}" if "least_similarity" in one[-1] else "" for one in columns]
    lines.append("| least cosine, as found | " + " | ".join(cosines) + " |")
    counts = ", ".join(f"{count} {name}" for name, count in planted.items())
    return f"""# Which copies of evaluation images are found

`{results["command"]}`

Found, of copies of {counts}, by `--overlap`. The last four changes are none
of the forms whose features are known. The others are images of the same kind that are no copies, those of the
photographs and smooth pictures counted together; 34 of these are other windows of the same photographs. The backbone
is EfficientNet-Lite0 trained on ImageNet, at 64 x 64 (CIFAR-10) and 96 x 96 pixels; the scorer is a narrow CNN of 32
features; hashes need neither.

{chr(10).join(lines)}
"""


if __name__ == "__main__":
    sys.exit(main())
