"""What the program does with a configuration: train, score a finished run, label images with it, compute features.

mpl_tf/main.py comes here from a command line, mpl_tf/api.py from Python. No TensorFlow is imported before it is used.
"""

import contextlib
import sys

from mpl_tf.base import files, lock, storage
from mpl_tf.base.errors import UsageError
from mpl_tf.base.storage import mirror
from mpl_tf.devices import cluster
from mpl_tf.run import results, workdir
from mpl_tf.settings import catalogue, config_json


def train(config, make=None):
    """Train, finetune, evaluate, export; go on with what the workdir holds of the same run.

    Args:
        config: Config.
        make: function that makes the method of the phase "train", as methods.make does and in its place.
    Raises:
        UsageError: a workdir with another configuration, or what the parts refuse.
        RunError, Interrupted: see run.phase.run_phase.
    """
    # Of several workers, which share the folder, the first one holds it.
    joined = cluster.wanted(config.strategy)
    writes = not (joined and joined.index)
    with mirror.worked_in(config.workdir, "workdir", writes), workdir.claimed(config, writes):
        # The same command again changes nothing, unless the outcome was lost since.
        found = workdir.results(config.workdir)
        if workdir.reached(found, config.train_steps) and results.intact(config):
            print(f"{config.workdir} holds the finished run: {results.headline(found)}")
            if writes:
                _export(config)
            return

        from mpl_tf.devices import choice, determinism, shortage

        choice.check_accelerator(config.scale, config.strategy, config.allow_cpu)
        choice.check_views(config.views)
        devices = choice.make_devices(config.strategy, config.mesh, config.remat)
        choice.check_batches(devices, config.labeled_batches(), config.accumulate, config.batch_norm_groups)
        with devices.peers():
            # Workers with other flags would wait for one another, or average what does not belong together.
            if not devices.same(config_json.fingerprint(config)):
                raise UsageError(
                    "TF_CONFIG: expected the same flags on all workers, got different ones; start all alike"
                )
            with _policy_as_before(), determinism.told(), shortage.told():
                _train(config, devices, make)
            devices.meet()  # No worker leaves while another still needs it.


def _train(config, devices, make):
    """`train`, the folder being this run's and the devices found."""
    import keras
    import tensorflow as tf

    from mpl_tf import data, methods
    from mpl_tf.devices import determinism
    from mpl_tf.models import saved
    from mpl_tf.run import features, fixed_teacher, longer, outcome
    from mpl_tf.run.phase import Phase, run_phase
    from mpl_tf.run.report.report import Report

    # Everything that can be refused is refused before the first file is written.
    methods.check_models(config, workdir.FILES)
    dataset = data.load(config)
    methods.check_data(config.method, dataset)
    if determinism.wanted(config.deterministic, config.jit_compile):
        tf.config.experimental.enable_op_determinism()
    with devices.scope():
        backbone = features.backbone(config, dataset)
        keras.config.set_dtype_policy(config.precision)
        shape = backbone.output_shape[1:] if backbone else dataset.shape
        weights = methods.count_weights(config, shape, dataset.num_classes)
    stretches = workdir.record(config, dataset, devices)
    if devices.writes:
        print("\n".join([*dataset.notes, *results.about(config, dataset, weights, stretches)]), flush=True)

    # From here on the examples of a frozen network are their features, or pass it in each step.
    shown = dataset
    if backbone:
        dataset = features.of(dataset, backbone, config, devices)

    # A fixed teacher labels the unlabeled examples before the method sees them.
    row, teacher_files = catalogue.METHODS[config.method], {}
    if row.fixed_teacher:
        dataset, teacher_files = fixed_teacher.label(longer.first(config, stretches), dataset, devices)

    # The main phase. The seed is set anew: weights do not depend on what drew random numbers before.
    keras.utils.set_random_seed(config.seed)
    with devices.scope():
        about = {"stretches": stretches, **dataset.facts}
        method = (make or methods.make)(config, dataset.input_shape, dataset.num_classes, **about)
    phase = Phase("train", config.train_steps, config.labeled_batch, since=stretches[-1][0])
    report = Report(config, dataset, shown) if config.report else None
    trained = run_phase(phase, method, dataset, config, report)

    student, others = outcome.networks(method, dataset, config, devices)
    if devices.writes:
        kept, extended = outcome.kept(config, student, others, backbone, dataset), longer.told(config, stretches)
        with devices.scoring():
            others |= {role: saved.load(path) for role, path in teacher_files.items()}
        told, confusion = results.write(config, dataset, student, others, trained, kept, extended)
        if report:
            outcome.report(report, student, others, trained, told, confusion)
        mirror.publish(config.workdir, wait=True)
        print(f"{results.headline(told)}; everything is in {config.workdir}", flush=True)
        _export(config, shown)


def _export(config, dataset=None):
    """The formats of --export that the finished run does not have yet; see formats.write."""
    from mpl_tf.run import formats

    kinds = formats.missing(config)
    if kinds:
        formats.write(config, kinds, dataset)


@contextlib.contextmanager
def _policy_as_before():
    """The run's type of numbers is not left to what a notebook makes after it."""
    import keras

    before = keras.config.dtype_policy()
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def score(config):
    """--mode=evaluate: score WORKDIR/student.keras on the test set again. No training data are read.

    Returns:
        dict: "test" as results.json has it, and "real" of a data set that has such labels.
    Raises:
        UsageError: no finished run in the workdir, or test data of other classes.
    """
    with mirror.worked_in(config.workdir, "workdir", writes=False, whole=False):
        return _score(config)


def _score(config):
    """`score`, the workdir being on the disk."""
    from mpl_tf import data
    from mpl_tf.run import evaluate

    # The data may have changed since: what is other is told, what makes the score meaningless refused.
    model = _student(config)
    dataset = data.load_test(config, workdir.class_names(config.workdir))
    workdir.compare(config.workdir, dataset)
    # The program's stdout has the figures alone.
    print("\n".join(dataset.notes), end="\n" * bool(dataset.notes), file=sys.stderr)
    scores, _ = evaluate.evaluate(model, dataset.test, config.eval_batch)
    return {"test": scores} | results.real_score(model, dataset, config.eval_batch)


def _student(config):
    """The student of a finished run, opened on the devices that --strategy names."""
    from mpl_tf.devices import choice
    from mpl_tf.models import saved

    with choice.for_scoring(config.strategy).scoring():
        return saved.load(storage.path(config.workdir) / "student.keras")


def predict(config, told=None):
    """--mode=predict: label images into WORKDIR/predictions.csv.

    Args:
        config: Config.
        told: function of each predictions.Prediction; or None.
    Returns:
        Lines for the user, str.
    Raises:
        UsageError: no finished run in the workdir, a model of points, no image, more --top_k than classes.
        RunError: images that cannot be read, unless --skip_bad_images.
    """
    with mirror.worked_in(config.workdir, "workdir", whole=False):
        return _predict(config, told)


def _predict(config, told):
    """`predict`, the workdir being on the disk."""
    from mpl_tf.data.to_label import ToLabel
    from mpl_tf.models import saved
    from mpl_tf.run import predictions

    folder_of_run = storage.path(config.workdir)
    model, student = _student(config), folder_of_run / "student.keras"
    if len(model.input_shape) != 4:
        raise UsageError(f"--images: {student} takes examples of shape {model.input_shape[1:]}, no images")
    # Images are read at the size that the network takes; its classes have their names from its file.
    given = ToLabel(config, model.input_shape[1])
    names = saved.class_names(student) or workdir.finished(folder_of_run)["class_names"]  # Of earlier versions.
    output, shown = folder_of_run / "predictions.csv", predictions.Shown(config.top_k, config.all_probabilities)
    count = predictions.write(model, given, names, output, config.eval_batch, shown, told)
    line = f"{storage.named(str(output))}: {count} images labeled, {given.unreadable.count} unreadable ones left out"
    return "\n".join([*given.notes(), line])


def export(config):
    """--mode=export: write WORKDIR/student.keras in the formats of --export.

    Returns:
        dict of each, as results.json has it among `exports` (formats.write).
    Raises:
        UsageError: no finished run in the workdir, one that is being trained, or no images to check by.
        RunError: an export that fails, or is not as student.keras is.
    """
    from mpl_tf.run import formats

    workdir.finished(config.workdir)  # First: a lock makes its folder.
    with mirror.worked_in(config.workdir, "workdir", whole=False, claims=True):
        folder = storage.path(config.workdir)
        with lock.held(folder, "workdir"):
            files.sweep(folder)
            return formats.write(config, config.exports())


def features(config):
    """--mode=features: compute those of a frozen network into --feature_store; returns what is told of it, str."""
    from mpl_tf.run import features

    return features.compute(config)
