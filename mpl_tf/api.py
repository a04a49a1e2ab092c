"""The program from Python: `import mpl_tf; run = mpl_tf.train(labeled_dir=..., unlabeled_dir=..., workdir=...)`.

Arguments are the flags of the command line by their names (docs/flags.md), with the same recipes and checks; None
stands for one that is not given. What is wrong is raised: UsageError before anything is done, RunError where a run
fails on its way, Interrupted (no Exception, as KeyboardInterrupt is none) where it was stopped and saved.
"""

import functools

from mpl_tf.base import quiet, storage
from mpl_tf.devices import cluster
from mpl_tf.run import modes, results, workdir
from mpl_tf.settings import arguments
from mpl_tf.settings.catalogue import DATASETS, METHODS, NETWORKS, ForeignName


class Results(dict):
    """A dict whose keys are attributes too: results["test"]["top1"] is results.test.top1."""

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(f"there is no {name!r} among the results: {', '.join(self)}")
        return Results(self[name]) if isinstance(self[name], dict) else self[name]

    def __dir__(self):
        return [*super().__dir__(), *self]


class Run(Results):
    """A finished run: what its results.json holds (docs/workdir.md), and its network.

    Args:
        workdir: folder of the run.

    Attributes:
        workdir: pathlib.Path of it.
        student: keras.Model of student.keras: images [B, H, W, 3] in [0, 255] (or points) -> logits float32 [B, C];
            opened when it is first asked for, compiled for evaluate() with labels int [B].
    Raises:
        UsageError: no finished run in the folder.
    """

    def __init__(self, workdir):
        with arguments.told():
            super().__init__(_finished(workdir))
        self.workdir = storage.path(workdir)

    @functools.cached_property
    def student(self):
        """See the class."""
        with arguments.told():
            _start()
            from mpl_tf.models import saved

            model = saved.load(self.workdir / "student.keras")
            saved.compile_for_scores(model)  # Those of earlier versions are not.
            return model

    def __repr__(self):
        return f"<Run: {results.headline(self)}; {self.workdir}>"


def _finished(folder):
    return workdir.finished(folder)


def train(**given):
    """Train a network and export it, as the command without --mode does; go on with what the workdir holds.

    Keras' global seed is set; TensorFlow's operations stay deterministic in this process if `deterministic` says so.

    Args:
        **given: flags by their names, as labeled_dir, unlabeled_dir, test_dir, dataset, method, model, scale, workdir;
            config: config.json of an earlier run, its values in the recipes' place.
    Returns:
        Run.
    Raises:
        UsageError: an argument that there is none of, or a value that does not do; nothing is written.
        RunError, Interrupted: see modes.train.
    """
    with arguments.told():
        config = arguments.parse("train", given)
        _start(late=cluster.starts_late(config.strategy))
        modes.train(config)
    return Run(config.workdir)


def features(feature_store, **given):
    """Compute a frozen network's features of a data set's views ahead of the runs that learn from them.

    A run computes by itself what it does not find in its store; this does it once for runs of every method, number of
    labels and seed, which are then given the same feature_store. What is there already is not computed again.

    Args:
        feature_store: folder of the features.
        **given: flags by their names, as for `train`, weights or pretrained among them; freeze is "backbone".
    Returns:
        Path of the folder, or UPath of a URL, for `train`.
    Raises:
        UsageError: an argument that there is none of, or a value that does not do; nothing is written.
        RunError: weights, images or a store that cannot be read or written.
    """
    with arguments.told():
        config = arguments.parse("features", {"freeze": "backbone"} | given | {"feature_store": feature_store})
        _start(late=cluster.starts_late(config.strategy))
        print(modes.features(config))
    return storage.path(feature_store)


def evaluate(workdir, **given):
    """Score a finished run's student on its test set again, or on another one (test_dir).

    Args:
        workdir: folder of the run, or its Run.
        **given: flags over those of the run.
    Returns:
        Results: `test` as the run's results have it; `real` where a data set has such labels.
    Raises:
        UsageError: no finished run, no test data, or those of other classes.
        RunError: data that cannot be read.
    """
    with arguments.told():
        config = arguments.parse("evaluate", given | {"workdir": _folder(workdir)})
        _start()
        return Results(modes.score(config))


def predict(workdir, images, **given):
    """Label images by a finished run's student, into WORKDIR/predictions.csv too.

    Args:
        workdir: folder of the run, or its Run.
        images: folder of images, at any depth, one image, or a CSV file with a column `path`.
        **given: flags over those of the run, as skip_bad_images, top_k and all_probabilities.
    Returns:
        list of (file, label, probability), named tuples, an image each, with `top` and `probabilities`
        (run/predictions.py); the list alone is as long as the images are many.
    Raises:
        UsageError: no finished run, a model of points, no image.
        RunError: images that cannot be read, unless skip_bad_images.
    """
    with arguments.told():
        config = arguments.parse("predict", given | {"workdir": _folder(workdir), "images": images})
        _start()
        rows = []
        modes.predict(config, rows.append)
        return rows


def export(workdir, export, **given):
    """Write a finished run's student in the formats of other programs, each checked against student.keras.

    Args:
        workdir: folder of the run, or its Run.
        export: "saved_model", "tflite" or "onnx", or a list of them.
        **given: flags over those of the run, as images, to check by where the run's own are gone.
    Returns:
        Results: of each format `file`, its name in the folder, `max_difference` of a probability, and `n` examples.
    Raises:
        UsageError: no finished run, a format whose packages are not installed, no images to check by.
        RunError: an export that fails or is not as student.keras is; there is no such file then.
    """
    with arguments.told():
        config = arguments.parse("export", given | {"workdir": _folder(workdir), "export": export})
        _start()
        return Results(modes.export(config))


def list_methods():
    """Names that `method` takes: list of str."""
    return list(METHODS)


def list_models():
    """Names that `model` and `teacher_model` take: list of str, networks of this program first."""
    return [*NETWORKS, *ForeignName.names]


def list_datasets():
    """Names that `dataset` takes: list of str."""
    return list(DATASETS)


def _folder(run):
    return run.workdir if isinstance(run, Run) else run


def _start(late=False):
    """TensorFlow, without its chatter; `late`: its devices are started by the run itself."""
    quiet.import_tensorflow(start=not late)


# What a notebook completes and shows.
train.__signature__ = arguments.signature(without=("images", "top_k", "all_probabilities"))
features.__signature__ = arguments.signature("feature_store", without=("images",))
evaluate.__signature__ = arguments.signature("workdir")
export.__signature__ = arguments.signature("workdir", "export")
predict.__signature__ = arguments.signature("workdir", "images")
