"""What Keras' evaluate() and fit(validation_data=...) need of a method: loss and accuracy of its deployed network."""

import keras
import tensorflow as tf

from mpl_tf.step import checks, losses


class ScoredModel(keras.Model):
    """A keras.Model of logits that evaluate() scores; compile(metrics=...) adds to the loss and the accuracy.

    Training does not touch these metrics: what a step logs is the method's own.
    """

    scoring = False  # Whether evaluate() is at work, maybe within fit().

    def compile(self, *args, metrics=None, **kwargs):
        """Keras' own, the accuracy among its metrics: callbacks look there whether more of it is better."""
        super().compile(*args, metrics=with_accuracy(metrics), **kwargs)

    def test_step(self, data):
        """Keras' hook: count a batch.

        Args:
            data: (x, y), or a dict with x_l and y_l: examples as the deployed network takes them, labels of any integer
                type [B].
        Returns:
            dict of str to float32 scalars: the means so far.
        Raises:
            UsageError: neither of these, or labels that are no classes.
        """
        x, y, weights = checks.examples(data)
        y = checks.labels(y, self.num_classes)
        z = tf.cast(self(x if self.features is None else self.features(x), training=False), tf.float32)
        self._loss_tracker.update_state(losses.cross_entropy(y, z), weights)
        self._compile_metrics.update_state(y, z, weights)
        return {"loss": self._loss_tracker.result()} | self._compile_metrics.result()

    def evaluate(self, *args, return_dict=False, **kwargs):
        """Keras' own, of the deployed network: [loss, accuracy, and those of compile(metrics=...)], or a dict of them.

        The loss is the mean cross entropy, nats, without label smoothing and class weights.

        Raises:
            UsageError: see `test_step`.
        """
        self.scoring = True
        try:
            with checks.one_line():
                logs = super().evaluate(*args, return_dict=True, **kwargs)
        finally:
            self.scoring = False
        logs = {name: logs[name] for name in ("loss", "accuracy") if name in logs} | logs
        return logs if return_dict else list(logs.values())

    def _get_metrics_result_or_logs(self, logs):
        """Keras' hook: what the last step told is the epoch's means; in training its own metrics count nothing."""
        return logs


def with_accuracy(metrics):
    """Metrics as compile() takes them, the accuracy among them where they are a list or none."""
    given = [] if metrics is None else metrics
    if not isinstance(given, (list, tuple)):
        return metrics
    names = [getattr(metric, "name", metric) for metric in given]
    own = [] if {"accuracy", "acc"} & set(map(str, names)) else [keras.metrics.SparseCategoricalAccuracy("accuracy")]
    return [*own, *given]
