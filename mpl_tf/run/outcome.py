"""What a run ends with: its networks in the form in which they are exported, and those that it keeps as files."""

from mpl_tf import methods
from mpl_tf.run import export, features, results
from mpl_tf.run.phase import Phase, run_phase
from mpl_tf.settings.catalogue import METHODS


def networks(method, dataset, config, devices):
    """The networks of a run whose main phase is over, after the student's finetuning where its method asks for that.

    All hosts come here, as their devices may hold a share of the weights each.

    Args:
        method: Method as the main phase left it, at its last step or its best one (--keep).
        dataset: Dataset that it was trained on.
        config: Config.
        devices: Devices of the run.
    Returns:
        (student, others): the student as a deployable keras.Model (export.deployable); dict of role to the others.
    Raises:
        RunError, Interrupted: see phase.run_phase.
    """

    def exported(network):
        with devices.scoring():
            return export.deployable(devices.whole(network), dataset)

    # Finetuning changes the deployed network itself: what is scored as it was before is copied first.
    others = {role: exported(learner.network) for role, learner in method.scored_learners().items()}
    if METHODS[config.method].finetuned and config.finetune_steps:
        others["before_finetune"] = exported(method.deployed())
        with devices.scope():
            finetune = methods.make_finetune(method.deployed(), config, dataset.class_prior)
        phase = Phase("finetune", config.finetune_steps, config.finetune_batch, "finetune_steps")
        run_phase(phase, finetune, dataset, config)
    return exported(method.deployed()), others


def kept(config, student, others, backbone, dataset):
    """The content of the networks' files (results.kept): dict of name to keras.Model of the examples themselves.

    Args:
        config: Config.
        student, others: as `networks` returns them.
        backbone: frozen network that the examples went through before (features.backbone), or None.
        dataset: Dataset that the run trained on.
    """
    # Among the others "student" is the network beside its average, which is deployed.
    found = {"student.keras": student, "teacher.keras": others.get("teacher")}
    return {name: features.whole(backbone, found[name], dataset) for name in results.kept(config)}


def report(written, student, others, trained, results, confusion):
    """Write the report of a finished run.

    Args:
        written: Report of the run, which has seen its main phase.
        student, others: as `networks` returns them.
        trained: PhaseResult of the main phase.
        results, confusion: as results.write returns them.
    """
    teacher = "teacher" in METHODS[written.config.method].networks
    found = {"student": student} | ({"teacher": others["teacher"]} if teacher else {})
    steps = trained.validated.get("trained_steps", written.config.train_steps)
    written.write(found, steps, trained.seconds, results, confusion)
