"""Copies of a method's networks as they would be exported, which take the weights of now at an epoch's end."""

from mpl_tf.run import export


class Copies:
    """The deployed network and mpl's teacher as files of them would be.

    Nothing is traced anew at an epoch's end, and training is left as it is.

    Args:
        method: compiled Method that is trained.
        dataset: Dataset.
    """

    def __init__(self, method, dataset):
        # The deployed one first; networks of other roles than the student's have columns of their own.
        self.devices, self.networks, self.step = method.devices, {"val": method.deployed()}, None
        for role, learner in method.scored_learners().items():
            if learner.network is not method.student_network:
                self.networks[f"val_{role}"] = learner.network
        with self.devices.scoring():
            self.models = {
                name: export.deployable(self.devices.whole(network), dataset) for name, network in self.networks.items()
            }

    def at(self, step):
        """The copies with the weights that the networks have after `step` steps, which is now.

        All hosts call it, as each may hold a share of the weights.

        Returns:
            dict of "val", and "val_ROLE" of others than the student, to deployable keras.Model.
        """
        if step != self.step:
            for name, network in self.networks.items():
                export.refresh(self.models[name], self.devices.whole(network))
            self.step = step
        return self.models
