"""The feedback of the student to its teacher, in every form (paper section 2; slides, Algorithm 1).

Glossary: theta_S the student's weights before its step, theta_S' after it; L_l(theta) the labeled loss, the mean of
CE(y_l, S(x_l; theta)) over the global batch; eta_S the first-step coefficient of the student's optimizer; g_u the
gradient of the student's loss on the pseudo labels; q the teacher's distributions on x_u; z its logits there.

A scalar h (taylor, dot_product) is OLD minus NEW labeled loss: positive when the pseudo labels helped. It multiplies
the gradient of CE(y_u, T(x_u)) with y_u the hard label the student was given; with the target softmax(z) itself, as in
the released code, that gradient is exactly zero. The table (exact) is dL_l(theta_S') / dq for each example and class.
"""

import tensorflow as tf

from mpl_tf import distribute, losses


def taylor(labeled_loss, old, new):
    """h = L_l(theta_S) - L_l(theta_S'), the first-order Taylor form of the dot product.

    Args:
        labeled_loss: function of weights, the mean labeled loss of this replica's examples, a float32 scalar.
        old, new: theta_S and theta_S', lists of tensors.
    Returns:
        float32 scalar.
    """
    return distribute.mean(labeled_loss(old) - labeled_loss(new))


def dot_product(labeled_loss, new, pseudo_gradient, coefficient):
    """h = eta_S <grad L_l(theta_S'), g_u> (Algorithm 1), a float32 scalar.

    Args:
        labeled_loss, new: as in `taylor`.
        pseudo_gradient: g_u over the global batch, list of tensors.
        coefficient: eta_S, float32 scalar.
    """
    pairs = zip(labeled_gradient(labeled_loss, new), pseudo_gradient, strict=True)
    return coefficient * tf.add_n([tf.reduce_sum(a * b) for a, b in pairs])


def exact(labeled_loss, logits, old, new, coefficient, batch):
    """dL_l(theta_S') / dq, per example and class, by one directional derivative of the student.

    The student's step with targets q and loss -(1/B) sum q log S(x_u; theta_S) gives
    dL_l/dq_jc = (eta_S / B) d/de log S_c(x_j; theta_S + e v) at e = 0, with v = grad L_l(theta_S'): the expectation of
    REINFORCE without its sampling noise, for a network of any size.

    Args:
        labeled_loss, old, new: as in `taylor`.
        logits: function of weights, the student's logits on this replica's x_u as in its training pass, [b, C].
        coefficient: eta_S (times any constant between q and the target), float32 scalar.
        batch: B, unlabeled examples over all replicas.
    Returns:
        float32 [b, C].
    """
    direction = labeled_gradient(labeled_loss, new)
    derivative = directional_derivative(lambda weights: tf.nn.log_softmax(logits(weights)), old, direction)
    return coefficient / batch * derivative


def directional_derivative(function, weights, direction):
    """d/de function(weights + e direction) at e = 0, shaped as the function's value.

    By reverse mode twice: the pullback u -> u^T J is linear in u, and the derivative of <u^T J, direction> by u is
    J direction. It takes the time of tf.autodiff.ForwardAccumulator (WRN-28-2), which is wrong where the function sums
    over replicas, as synchronized batch norm does.

    Args:
        function: of a list of tensors.
        weights, direction: lists of tensors of the same shapes.
    """
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(weights)
            value = function(weights)
        u = tf.zeros_like(value)
        outer.watch(u)
        pullback = inner.gradient(value, weights, output_gradients=u)
        product = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(pullback, direction, strict=True)])
    return outer.gradient(product, u)


def labeled_gradient(labeled_loss, weights):
    """grad L_l at `weights` over the global batch, list of tensors."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss = labeled_loss(weights)
    return distribute.mean(tape.gradient(loss, weights))


def scalar_loss(h, y_u, z, scale, batch):
    """The teacher's loss whose gradient is h grad CE(y_u, T(x_u)) (Algorithm 1), a float32 scalar.

    Args:
        h: scalar, after its baseline.
        y_u: hard pseudo labels, int32 [b].
        z: teacher logits that made them, float32 [b, C].
        scale: "sum" over the global batch, as the score function of the whole batch asks for, or the paper's "mean".
        batch: B, unlabeled examples over all replicas.
    Returns:
        The replica's loss; its gradient is to be averaged over replicas.
    """
    return h * _scaled(losses.cross_entropy(y_u, z), scale, batch)


def table_loss(table, z, scale, batch):
    """The teacher's loss whose gradient is sum_jc dL_l/dq_jc grad q_jc, that of objective (3); arguments as above."""
    return _scaled(tf.reduce_sum(tf.stop_gradient(table) * tf.nn.softmax(z), axis=-1), scale, batch)


def _scaled(examples, scale, batch):
    return tf.reduce_mean(examples) * (batch if scale == "sum" else 1)
