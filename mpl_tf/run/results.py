"""What a finished run leaves behind beside its checkpoints: the student, its scores, the picture of its confusions."""

from mpl_tf.base import console, files, storage
from mpl_tf.run import workdir
from mpl_tf.settings.catalogue import METHODS

FOUR = ("top1", "top5", "loss", "n")  # The scores of the networks that are not deployed.


def write(config, dataset, student, others, trained, models, extended=()):
    """Export the networks, score them all, and write results.json last: it says that a run is finished.

    Args:
        config: Config of the run.
        dataset: Dataset.
        student: deployable keras.Model (export.deployable), the run's outcome.
        others: dict of role to deployable keras.Model: the run's other networks, to be scored.
        trained: PhaseResult of the main phase.
        models: dict of a file's name to the keras.Model that it is to hold (outcome.kept), the student's among them.
        extended: how the run was made longer (longer.told).
    Returns:
        (results, confusion): the content of results.json, dict; int [C, C], the student on the test images, or
            without any on the validation images.
    """
    from mpl_tf.run import evaluate, export  # Deferred: they bring Keras.

    # The networks first: what follows takes time, and may be done again from the checkpoints if it is cut off.
    workdir = storage.path(config.workdir)
    for name, model in models.items():
        export.save(model, workdir / name, dataset.class_names)
    # Where there are no test images, the validation images stand for them in all but the name.
    parts = {"test": dataset.test, "validation": dataset.validation}
    parts = {name: part for name, part in parts.items() if part is not None}
    scored = {name: evaluate.evaluate(student, part, config.eval_batch) for name, part in parts.items()}
    first = next(iter(parts))
    evaluate.draw_confusion(scored[first][1], dataset.class_names, workdir / "confusion_matrix.png")
    beside = {role: evaluate.evaluate(model, parts[first], config.eval_batch)[0] for role, model in others.items()}

    # Stands for itself: tools/results and the studies compare runs by this file alone.
    results = {
        "dataset": config.dataset,
        "method": config.method,
        "model": config.model,
        "seed": config.seed,
        "steps": config.train_steps,
        **({"extended": extended} if extended else {}),
        **{name: scores for name, (scores, _) in scored.items()},
        **({"scored_on": config.scored_on} if config.scored_on != "test" else {}),
        **trained.validated,
        **real_score(student, dataset, config.eval_batch),
        "other_networks": {role: {name: scores[name] for name in FOUR} for role, scores in beside.items()},
        "seconds": trained.seconds,
        "images_per_second": trained.images_per_second,
        "means": trained.means,
        "skipped_steps": trained.skipped_steps,
        "num_labeled": len(dataset.labeled),
        "num_unlabeled": dataset.num_unlabeled,
        "skipped_images": dataset.left_out(),
        "class_names": list(dataset.class_names),
    }
    files.write_json(workdir / "results.json", results)
    met = len(results["skipped_images"]) - len(dataset.skipped)
    if met:
        console.tell(f"{met} unreadable images were met and left out; {workdir / 'results.json'} names them")
    return results, scored[first][1]


def real_score(model, dataset, batch):
    """The score by ImageNet-ReaL, of a data set that has it: {"real": {"top1", "n"}}, else {}.

    Args:
        model: deployable keras.Model.
        dataset: Dataset.
        batch: images a batch.
    """
    from mpl_tf.run import evaluate  # Deferred: it brings Keras.

    return {"real": evaluate.evaluate_real(model, dataset.real, batch)} if dataset.real else {}


def kept(config):
    """Names of the networks' files that come with the results: tuple of str."""
    teacher = config.keep_teacher and "teacher" in METHODS[config.method].networks
    return ("student.keras", "teacher.keras") if teacher else ("student.keras",)


def intact(config):
    """Whether the networks of a finished run are as they were written; if not, what happens now is told."""
    from mpl_tf.models import saved  # Deferred: it brings Keras.

    for name in kept(config):
        path = storage.path(config.workdir) / name
        damage = saved.damaged(path)
        if damage:
            known = workdir.newest(config.workdir)
            source = "from the last checkpoint" if known else "from the start, as no checkpoint is left"
            console.tell(f"{path} is not as it was written ({damage}); it is made again {source}")
            return False
    return True


def about(config, dataset, weights, stretches):
    """What is about to be trained on what, in one line, and lines of how the run was made longer: list of str.

    Args:
        config, dataset: of the run.
        weights: of the network to be trained, in all.
        stretches: of the run (run/longer.py).
    """
    parts = {
        "labeled": len(dataset.labeled),
        "unlabeled": dataset.num_unlabeled,
        "validation": len(dataset.validation or ()),
        "test": len(dataset.test or ()),
    }
    if not parts["validation"] or dataset.test is dataset.validation:
        del parts["validation"]
    told = ", ".join(f"{count} {name}" for name, count in parts.items())
    skipped = f", {len(dataset.skipped)} unreadable images left out" if dataset.skipped else ""
    line = (
        f"{config.method} on {config.dataset}: {told} examples{skipped}; {config.model}, "
        f"{weights:,} weights; files in {config.workdir}"
    )
    return [line, *(f"made longer at step {start}, to {end} steps" for start, end in stretches[1:])]


def headline(results):
    """The content of a results.json in one line."""
    skipped = results["skipped_steps"]
    note = f", {skipped} steps skipped for gradients that are not finite" if skipped else ""
    # With --scored_on=validation both are the same images; without test images there is no "test".
    told = {results.get("scored_on", "test"): results.get("test"), "validation": results.get("validation")}
    lines = [
        f"{part} top-1 {100 * scores['top1']:.2f} %, loss {scores['loss']:.4f} on {scores['n']} examples"
        for part, scores in told.items()
        if scores
    ]
    lines += [] if "test" in results else ["no test images"]
    if results.get("stopped_early"):
        lines.append(f"stopped early at step {results['trained_steps']} of {results['steps']}")
    if results.get("student_step") != results.get("trained_steps"):
        lines.append(f"the best step by validation, {results['student_step']}, is kept")
    return "; ".join(lines) + note
