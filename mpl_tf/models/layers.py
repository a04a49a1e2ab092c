"""The layers that networks are made of: Keras' own, and those it does not have in the form needed.

Residual networks take all their layers from a namespace, by default this module, so that another one with the same
names (and the same weights in the same order) can lay the same network out otherwise, for example over several devices.
Convolutions and poolings there pad as TensorFlow's SAME does, and nothing reshapes the axes of space.
"""

import keras
import tensorflow as tf
from keras import Input
from keras.layers import (
    Activation,
    Add,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAveragePooling2D,
    LeakyReLU,
    Multiply,
)

from mpl_tf.models.pooling import MaxPooling2D

__all__ = [
    "Activation",
    "Add",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "GlobalAveragePooling2D",
    "Input",
    "LeakyReLU",
    "MaxPooling2D",
    "Multiply",
    "StochasticDepth",
    "stock_copy",
    "twin",
]


def StochasticDepth(rate):
    """A residual branch that an example skips in training (Huang et al. 2016); see wide_resnet.py.

    Args:
        rate: chance of skipping, in [0, 1); a branch not skipped is divided by 1 - rate.
    Returns:
        A stock keras.layers.Dropout, its noise the same over an example's pixels and channels.
    """
    return Dropout(rate, noise_shape=(None, 1, 1, 1))


@keras.saving.register_keras_serializable("mpl_tf")
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' BatchNormalization through TensorFlow's fused kernel where one replica trains.

    Same weights, numbers and configuration as keras.layers.BatchNormalization; the fused kernel (FusedBatchNormV3) is
    about a fifth faster for a whole training step on a CPU. Where several replicas train, Keras' own synchronized form
    takes the statistics over all of them, or, with `groups`, over each group of as many consecutive replicas: a pass
    of N images then has groups of N / groups images (the released code has groups of 1,024 on ImageNet). The moving
    statistics take the mean over the groups of their means and of their variances.

    Args:
        momentum: decay of the moving statistics, in [0, 1).
        epsilon: added to the variance, > 0.
        groups: of replicas, a divisor of their number; 1: all replicas together.
    """

    def __init__(self, momentum=0.99, epsilon=1e-3, groups=1, **kwargs):
        super().__init__(**({"synchronized": True} | kwargs), momentum=momentum, epsilon=epsilon)
        self.groups = groups

    def call(self, inputs, training=None, mask=None):
        """Normalise [B, H, W, C] (fused in training) or [B, C]; same shape and dtype."""
        if training and self.trainable and self.groups > 1 and not _one_replica():
            return self._grouped(inputs)
        if not (training and self.trainable and inputs.shape.rank == 4 and _one_replica()):
            return super().call(inputs, training=training, mask=mask)
        none = tf.zeros([0], tf.float32)
        gamma, beta = self._affine()
        result = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=none,
            variance=none,
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs[..., 0]), tf.float32)
        biased = result.batch_variance * ((count - 1) / count)  # The kernel returns N / (N - 1) of what Keras averages.
        self._move(result.batch_mean, biased)
        return result.y

    def _grouped(self, inputs):
        """Normalise by the statistics of this replica's group."""
        context = tf.distribute.get_replica_context()
        size = context.num_replicas_in_sync // self.groups
        group = tf.cast(context.replica_id_in_sync_group, tf.int32) // size
        x = tf.cast(inputs, tf.float32)
        axes = list(range(x.shape.rank - 1))
        own = tf.stack([tf.reduce_mean(x, axes), tf.reduce_mean(tf.square(x), axes)])  # [2, C]
        # A row a group, filled by its replicas, summed over all: tf.distribute has no sum over some replicas alone.
        rows = tf.one_hot(group, self.groups)[:, None, None] * own / size  # [groups, 2, C]
        rows = context.all_reduce(tf.distribute.ReduceOp.SUM, rows)
        means = rows[:, 0]  # [groups, C]
        variances = tf.maximum(rows[:, 1] - tf.square(means), 0.0)  # [groups, C]
        self._move(tf.reduce_mean(means, axis=0), tf.reduce_mean(variances, axis=0))
        mean, variance = tf.gather(means, group), tf.gather(variances, group)  # [C]
        gamma, beta = self._affine()
        return tf.cast(tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon), inputs.dtype)

    def _affine(self):
        """Scale and offset, float32 [C] each; foreign networks may have none."""
        channels = self.moving_mean.shape
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels)
        return gamma, tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels)

    def _move(self, mean, variance):
        """Move the moving statistics towards those of a batch."""
        self.moving_mean.assign(self._average(self.moving_mean, mean))
        self.moving_variance.assign(self._average(self.moving_variance, variance))

    def _average(self, old, new):
        return old * self.momentum + new * (1 - self.momentum)

    def get_config(self):
        return super().get_config() | {"groups": self.groups}

    def plain(self):
        """The stock Keras layer of the same configuration, for export."""
        config = self.get_config() | {"synchronized": False}
        del config["groups"]
        return keras.layers.BatchNormalization.from_config(config)


def twin(network):
    """A copy of a network with its weights, in which what was set on its layers holds for theirs too.

    Clones of layers inside layers come as their makers have them: neither frozen nor with shared statistics.
    """
    copy = keras.models.clone_model(network)
    for old, new in zip(network._flatten_layers(), copy._flatten_layers(), strict=True):
        # A layer of layers hands its own word on to all of them: they come after it, and have the last.
        if new.trainable != old.trainable:
            new.trainable = old.trainable
        if isinstance(old, keras.layers.BatchNormalization):
            new.synchronized = old.synchronized
    copy.set_weights(network.get_weights())
    return copy


def stock_copy(network):
    """A copy of a network, weights and all, in float32 of stock Keras layers: it opens where this program is not.

    Layers of KerasCV stay what they are, and open where that is.
    """

    def stock(layer):
        if not isinstance(layer, keras.layers.Layer):  # An operation has no type of its own.
            return type(layer).from_config(layer.get_config())
        plain = layer.plain() if hasattr(layer, "plain") else layer
        return type(plain).from_config(plain.get_config() | {"dtype": "float32"})

    # Layers made of layers make theirs anew, in the type of the present policy.
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copy = keras.models.clone_model(network, clone_function=stock, recursive=True)
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(network.get_weights())
    return copy


def _one_replica():
    context = tf.distribute.get_replica_context()
    return context is None or context.num_replicas_in_sync == 1
