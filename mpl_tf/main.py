"""The program: parse, assemble, then train, finetune, evaluate and export; or evaluate or predict with a finished run.

python -m mpl_tf.main --dataset=digits_50
"""

import contextlib
import functools
import json
import signal
import sys
import traceback
from pathlib import Path

from mpl_tf.base import console, files, quiet
from mpl_tf.base.errors import Interrupted, RunError, Stopped, UsageError, reason
from mpl_tf.devices import cluster
from mpl_tf.run import workdir as workdirs
from mpl_tf.settings import catalogue, config_json, flags


def main(argv=None, make=None):
    """Run a command line.

    Args:
        argv: list of str without the program's name; sys.argv's if None.
        make: see `train`.
    Returns:
        The exit status: 0, 1 (failed), 2 (usage) or 75 (go on later).
    """
    argv = sys.argv[1:] if argv is None else argv
    console.take_any_name()
    debug = "--debug" in argv or "--debug=true" in argv
    config = None
    try:
        config = flags.parse(argv)
        late = config.mode == "train" and cluster.starts_late(config.strategy)
        if not config.debug:
            quiet.import_tensorflow(start=not late)
        with _sigterm_raises(config):
            modes = {"train": functools.partial(train, make=make), "evaluate": score, "predict": predict}
            modes[config.mode](config)
    except (UsageError, RunError, Interrupted) as error:
        return _end(error, error.status, debug)
    except KeyboardInterrupt:
        return _end(Stopped(f"stopped; {_going_on(config)}" if config else "stopped"), Stopped.status, debug)
    except Exception as error:
        told = RunError(f"unexpected {type(error).__name__}: {reason(error)}; run with --debug for the traceback")
        told.__cause__ = error
        return _end(told, told.status, debug)
    return 0


def train(config, make=None):
    """Train, finetune, evaluate, export; go on with what the workdir holds of the same run.

    Args:
        config: Config.
        make: function that makes the method of the phase "train", as methods.make does and in its place.
    Raises:
        UsageError: a workdir with another configuration, or what the parts refuse.
        RunError, Interrupted: see run.phase.run_phase.
    """
    joined = cluster.wanted(config.strategy)
    with workdirs.claimed(config, writes=not (joined and joined.index)):
        results = workdirs.results(config.workdir)
        if results is not None:
            print(f"{config.workdir} holds the finished run: {_headline(results)}")
            return
        from mpl_tf.devices import choice

        devices = choice.make_devices(config.strategy, config.mesh, config.remat)
        choice.check_batches(devices, config.labeled_batches(), config.accumulate, config.batch_norm_groups)
        with devices.peers():
            if not devices.same(config_json.fingerprint(config)):
                raise UsageError(
                    "TF_CONFIG: expected the same flags on all workers, got different ones; start all alike"
                )
            _train(config, devices, make)
            devices.meet()  # No worker leaves while another still needs it.


def _train(config, devices, make):
    import keras
    import tensorflow as tf

    from mpl_tf import data, methods
    from mpl_tf.models import saved
    from mpl_tf.run import export, fixed_teacher
    from mpl_tf.run.phase import Phase, run_phase

    dataset = data.load(config)
    methods.check_data(config.method, dataset)
    if not config.jit_compile:  # XLA lacks deterministic forms of some gradients; its CPU programs are so anyway.
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(config.precision)
    with devices.scope():
        weights = methods.count_weights(config, dataset.shape, dataset.num_classes)
    workdirs.record(config, dataset, devices)
    if devices.writes:
        print("\n".join([*dataset.notes, _about(config, dataset, weights)]), flush=True)
    fixed = {}
    row = catalogue.METHODS[config.method]
    if row.fixed_teacher:
        dataset, fixed = fixed_teacher.label(config, dataset, devices)
    keras.utils.set_random_seed(config.seed)
    with devices.scope():
        method = (make or methods.make)(config, dataset.shape, dataset.num_classes, dataset.num_unlabeled)
    trained = run_phase(Phase("train", config.train_steps, config.labeled_batch), method, dataset, config)

    def exported(network):
        return export.deployable(devices.whole(network), dataset)

    scored = {role: exported(learner.network) for role, learner in method.scored_learners().items()}
    if row.finetuned and config.finetune_steps:
        scored["before_finetune"] = exported(method.deployed())
        with devices.scope():
            finetune = methods.make_finetune(method.deployed(), config)
        finetuning = Phase("finetune", config.finetune_steps, config.finetune_batch, "finetune_steps")
        run_phase(finetuning, finetune, dataset, config)
    student = exported(method.deployed())
    if devices.writes:
        scored |= {role: saved.load(path) for role, path in fixed.items()}
        _finish(config, dataset, student, scored, trained)


def score(config):
    """--mode=evaluate: score WORKDIR/student.keras on the test set again and print the figures as JSON.

    Raises:
        UsageError: no finished run in the workdir.
    """
    from mpl_tf import data
    from mpl_tf.models import saved
    from mpl_tf.run import evaluate

    model = saved.load(Path(config.workdir) / "student.keras")
    dataset = data.load(config)
    workdirs.compare(config.workdir, dataset)
    print("\n".join(dataset.notes), end="\n" * bool(dataset.notes), file=sys.stderr)
    scores, _ = evaluate.evaluate(model, dataset.test, config.eval_batch)
    print(json.dumps({"test": scores} | _real(model, dataset, config)))


def predict(config):
    """--mode=predict: label the images of a folder into WORKDIR/predictions.csv.

    Raises:
        UsageError: no finished run in the workdir, a model of points, no image.
        RunError: images that cannot be read, unless --skip_bad_images.
    """
    from mpl_tf.data import folder
    from mpl_tf.models import saved
    from mpl_tf.run import evaluate

    workdir = Path(config.workdir)
    model = saved.load(workdir / "student.keras")
    if len(model.input_shape) != 4:
        raise UsageError(
            f"--images: {workdir}/student.keras takes examples of shape {model.input_shape[1:]}, no images"
        )
    given = folder.to_label(config, model.input_shape[1])
    names = workdirs.finished(workdir)["class_names"]
    output = workdir / "predictions.csv"
    evaluate.label_files(model, given.paths, given.images, names, config.eval_batch, output)
    told = f"{output}: {len(given.paths)} images labeled, {given.left_out} unreadable ones left out"
    print("\n".join([*given.notes, told]))


@contextlib.contextmanager
def _sigterm_raises(config):
    """Outside a training phase, which saves first, SIGTERM ends the run with its own exit status too."""

    def stop(*_):
        raise Interrupted(f"SIGTERM: stopped outside training; {_going_on(config)}")

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _finish(config, dataset, student, scored, trained):
    """Export the student, score it and the other networks, and write what the run leaves behind."""
    from mpl_tf.run import evaluate, export

    workdir = Path(config.workdir)
    export.save(student, workdir / "student.keras")
    test, confusion = evaluate.evaluate(student, dataset.test, config.eval_batch)
    evaluate.draw_confusion(confusion, dataset.class_names, workdir / "confusion_matrix.png")
    others = {role: evaluate.evaluate(model, dataset.test, config.eval_batch)[0] for role, model in scored.items()}
    results = {
        "dataset": config.dataset,
        "method": config.method,
        "model": config.model,
        "seed": config.seed,
        "steps": config.train_steps,
        "test": test,
        **_real(student, dataset, config),
        "other_networks": others,
        "seconds": trained.seconds,
        "images_per_second": trained.images_per_second,
        "means": trained.means,
        "skipped_steps": trained.skipped_steps,
        "num_labeled": len(dataset.labeled),
        "num_unlabeled": dataset.num_unlabeled,
        "skipped_images": list(dataset.skipped),
        "class_names": list(dataset.class_names),
    }
    files.write_json(workdir / "results.json", results)
    print(f"{_headline(results)}; everything is in {workdir}")


def _real(model, dataset, config):
    """The score by ImageNet-ReaL, of a data set that has it: {"real": {"top1", "n"}}, else {}."""
    from mpl_tf.run import evaluate

    return {"real": evaluate.evaluate_real(model, dataset.real, config.eval_batch)} if dataset.real else {}


def _going_on(config):
    """What the same command does after a stop: training goes on, the other modes start over."""
    return workdirs.going_on(config.workdir) if config.mode == "train" else "the same command starts over"


def _about(config, dataset, weights):
    skipped = f", {len(dataset.skipped)} unreadable images left out" if dataset.skipped else ""
    return (
        f"{config.method} on {config.dataset}: {len(dataset.labeled)} labeled, {dataset.num_unlabeled} unlabeled, "
        f"{len(dataset.test)} test examples{skipped}; {config.model}, {weights:,} weights; files in {config.workdir}"
    )


def _headline(results):
    test, skipped = results["test"], results["skipped_steps"]
    note = f", {skipped} steps skipped for gradients that are not finite" if skipped else ""
    return f"test top-1 {100 * test['top1']:.2f} %, loss {test['loss']:.4f} on {test['n']} examples{note}"


def _end(error, status, debug):
    if debug:
        traceback.print_exception(error)
    line = " ".join(str(error).split())
    print(f"mpl_tf: {'' if isinstance(error, Interrupted) else 'error: '}{line}", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
