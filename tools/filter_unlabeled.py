"""Choose unlabeled images for training: the most probable of each class by a model, none that overlaps a test set.

    python -m tools.filter_unlabeled --images='photos/**/*.jpg' --model=RUN/student.keras --per_class=12800 \\
        --exclude=val/ --output=OUT
    python -m tools.filter_unlabeled --scores=OUT/scores --per_class=1000 --exclude=val/ --output=OUT2
    python -m mpl_tf.main --dataset=folder --unlabeled_dir=OUT --labeled_dir=L --test_dir=T

(Pham et al. 2021, section 3.3; Xie et al. 2020 for --min_probability and --upsample.) Images are scored once, into
OUT/scores; the same command goes on where it was cut off. OUT gets the kept images as TFRecord shards, kept.parquet,
rejected.parquet, problems.parquet, report.html and summary.json. Flags of Apache Beam may follow (--runner=...).
"""

import importlib.util
import sys
import traceback

from absl import flags

from mpl_tf.base import quiet
from mpl_tf.base.errors import RunError, UsageError

NEEDED = ("apache_beam", "pyarrow")


def main(argv=None):
    """Filter; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    values = _flags()
    if {"--help", "-h"} & set(argv):
        print(f"{__doc__}\n{values.get_help()}")
        return 0
    try:
        extra = values(["filter_unlabeled", *argv], known_only=True)[1:]
        missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if missing:
            raise UsageError(f"this tool needs {missing[0]}, which is not installed: pip install -e '.[filter]'")
        if not values.output:
            raise UsageError("--output: expected a folder for the results, got nothing")
        quiet.import_tensorflow()
        _run(values, extra)
    except Exception as error:
        if values.is_parsed() and values.debug:
            traceback.print_exception(error)
        told = str(error)
        if not isinstance(error, (flags.Error, UsageError, RunError)):
            told = f"unexpected {type(error).__name__}: {told}; run with --debug for the traceback"
        print(f"filter_unlabeled: error: {' '.join(told.split())}", file=sys.stderr)
        return 2 if isinstance(error, flags.Error) else getattr(error, "status", 1)
    except KeyboardInterrupt:
        print("filter_unlabeled: stopped; the same command goes on from the chunks that are done", file=sys.stderr)
        return 130
    return 0


def _run(values, extra):
    from mpl_tf.filtering import run
    from mpl_tf.filtering.settings import Scoring, Selection

    selection = Selection(
        per_class=values.per_class,
        min_probability=values.min_probability,
        top_classes=values.top_classes,
        upsample=values.upsample,
        exclude=tuple(values.exclude),
        data_dir=values.data_dir,
        distance=values.distance,
        dedup=values.dedup,
        shard_images=values.shard_images,
    )
    if values.scores:
        for name in ("images", "model"):
            if values[name].value:
                raise UsageError(f"--{name}: the images in --scores={values.scores} are scored; leave it out")
        return run.run(None, selection, values.output, values.scores, extra)
    scoring = Scoring(
        images=tuple(values.images),
        model=values.model,
        data_dir=values.data_dir,
        image_size=values.image_size,
        batch=values.batch,
        precision=values.precision,
        outputs=values.outputs,
        chunk=values.chunk,
        top_classes=values.top_classes,
        fingerprints=values.fingerprints,
    )
    return run.run(scoring, selection, values.output, beam_arguments=extra)


def _flags():
    values = flags.FlagValues()
    where = "a folder (any depth), a pattern ('a/**/*.jpg'), a .txt list of files, TFRecord shards or tfds:NAME/SPLIT"

    def define(kind, name, default, text, *rest, **more):
        kind(name, default, text, *rest, **more, flag_values=values)

    define(flags.DEFINE_multi_string, "images", [], f"the unlabeled images: {where}; may be given several times")
    define(flags.DEFINE_string, "model", "", "Keras model from images in [0, 255], such as RUN/student.keras")
    define(flags.DEFINE_string, "output", "", "folder of the results")
    define(flags.DEFINE_string, "scores", "", "OUT/scores of an earlier run: select again, without a model")
    define(flags.DEFINE_string, "per_class", "12800", "images to keep a class, or a file of lines class,number")
    define(flags.DEFINE_float, "min_probability", 0.0, "least probability of a kept image, in [0, 1]")
    define(flags.DEFINE_integer, "top_classes", 1, "classes that an image competes for, its most probable ones")
    define(flags.DEFINE_boolean, "upsample", False, "classes with fewer images repeat them, counted in image/copies")
    define(flags.DEFINE_multi_string, "exclude", [], f"evaluation images that none kept may overlap: {where}")
    define(flags.DEFINE_boolean, "dedup", False, "of unlabeled images that overlap keep the most probable")
    distance = "bits of 256 by which hashes of overlapping images may differ; -1: equal pixels alone"
    define(flags.DEFINE_integer, "distance", 18, distance)
    define(flags.DEFINE_string, "data_dir", "", "folder of TFDS data sets; empty: ~/tensorflow_datasets")
    define(flags.DEFINE_integer, "image_size", 0, "side of the model's input, pixels; 0: the model's own")
    define(flags.DEFINE_integer, "batch", 256, "images a batch")
    define(flags.DEFINE_enum, "precision", "float32", ["float32", "bfloat16"], "compute type of the model")
    define(flags.DEFINE_enum, "outputs", "logits", ["logits", "probabilities"], "what the model gives")
    define(flags.DEFINE_integer, "chunk", 2048, "images a unit of work: what a kill -9 can lose")
    define(flags.DEFINE_boolean, "fingerprints", True, "note hashes with the scores, for --exclude and --dedup")
    define(flags.DEFINE_integer, "shard_images", 10_000, "images a shard of the kept ones")
    define(flags.DEFINE_boolean, "debug", False, "show tracebacks")
    return values


if __name__ == "__main__":
    sys.exit(main())
