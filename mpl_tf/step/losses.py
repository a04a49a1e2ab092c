"""Losses as pure functions of float32 tensors.

Glossary: z logits [B, C]; q target distributions [B, C]; y labels int32 [B].
"""

import tensorflow as tf


def soft_cross_entropy(q, z):
    """CE(q, softmax(z)) of each example, float32 [B].

    Written out, because tf.nn.softmax_cross_entropy_with_logits drops the second-order gradient to its labels.
    """
    return -tf.reduce_sum(q * tf.nn.log_softmax(z), axis=-1)


def cross_entropy(y, z, smoothing=0.0):
    """CE of each example against hard labels, float32 [B].

    Args:
        y: int32 [B].
        z: float32 [B, C].
        smoothing: label smoothing in [0, 1]: the target is (1 - smoothing) one_hot(y) + smoothing / C.
    """
    return soft_cross_entropy(smooth(tf.one_hot(y, z.shape[-1]), smoothing), z)


def labeled(y, z, smoothing=0.0, class_weights=None):
    """Mean CE of labeled examples, each times the weight of its class, a float32 scalar.

    Args:
        y, z, smoothing: as in `cross_entropy`.
        class_weights: float32 [C], 1 in the mean over the labeled set; None: all 1.
    """
    each = cross_entropy(y, z, smoothing)
    return tf.reduce_mean(each if class_weights is None else of_classes(class_weights, y) * each)


def of_classes(class_weights, y):
    """The weights, float32 [C], of the classes of labels y, int32 [B]: float32 [B]."""
    return tf.gather(tf.convert_to_tensor(class_weights), y)


def smooth(q, smoothing):
    """Mix distributions [B, C] with the uniform one: (1 - smoothing) q + smoothing / C."""
    return q * (1.0 - smoothing) + smoothing / q.shape[-1]


def uda(z_weak, z_strong, temperature, threshold):
    """Unsupervised data augmentation (Xie et al. 2020), as released with Meta Pseudo Labels, of each example.

    The target is the weak view's distribution, sharpened by the temperature, without gradient; an example counts where
    the largest probability of that target reaches the threshold. UDA's own paper (section 3.3) asks this of the
    distribution before it is sharpened, so that fewer examples count there.

    Args:
        z_weak, z_strong: float32 [B, C].
        temperature: > 0; below 1 sharpens.
        threshold: in [0, 1].
    Returns:
        (loss, mask): float32 [B], 0 where masked out, and float32 [B] of 0 and 1. The mean is over all B.
    """
    sharpened = tf.stop_gradient(z_weak) / temperature
    mask = confident(sharpened, threshold)
    return mask * soft_cross_entropy(tf.nn.softmax(sharpened), z_strong), mask


def fixmatch(z_weak, z_strong, threshold):
    """FixMatch's unlabeled loss (Sohn et al. 2020, equation 4) of each example.

    The target is the weak view's largest class, without gradient, where its probability reaches the threshold.

    Args:
        z_weak, z_strong: float32 [B, C].
        threshold: in [0, 1], or float32 [B], one an example.
    Returns:
        (loss, mask): float32 [B], 0 where masked out, and float32 [B] of 0 and 1. The mean is over all B.
    """
    mask = confident(tf.stop_gradient(z_weak), threshold)
    return mask * cross_entropy(tf.argmax(z_weak, axis=-1), z_strong), mask


def confident(z, threshold):
    """1 where the largest probability of softmax(z) reaches the threshold, else 0: float32 [B]."""
    return tf.cast(tf.reduce_max(tf.nn.softmax(z), axis=-1) >= threshold, tf.float32)


def squared_error(q, z):
    """Mean over the classes of (q - softmax(z))^2 of each example, float32 [B].

    Mean Teacher's consistency (Tarvainen and Valpola 2017, section 2); the sum over the classes is C times it.
    """
    return tf.reduce_mean(tf.math.squared_difference(q, tf.nn.softmax(z)), axis=-1)


def ramp(step, steps):
    """Linear ramp: step / steps up to 1; 1 at once where `steps` is 0. Scalar float32."""
    return tf.minimum(tf.cast(step, tf.float32) / steps, 1.0) if steps else tf.constant(1.0)


def sigmoid_ramp(step, steps):
    """Ramp exp(-5 (1 - step / steps)^2) up to 1; 1 at once where `steps` is 0. Scalar float32.

    Source: Laine and Aila 2017, appendix A; Tarvainen and Valpola 2017, appendix B.
    """
    return tf.exp(-5.0 * (1.0 - ramp(step, steps)) ** 2)


def accuracy(y, z):
    """Share of examples whose largest logit is at their label, a float32 scalar."""
    return tf.reduce_mean(tf.cast(tf.argmax(z, axis=-1, output_type=tf.int32) == y, tf.float32))
