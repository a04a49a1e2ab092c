"""The feedback of the student to its teacher, in every form (paper section 2; slides, Algorithm 1).

Glossary: theta_S the student's weights before its step, theta_S' after it; L_l(theta) the labeled loss, the mean of
CE(y_l, S(x_l; theta)) over the global batch; eta_S the first-step coefficient of the student's optimizer; g_u the
gradient of the student's loss on the pseudo labels; q the teacher's distributions on x_u; z its logits there.

A scalar h (taylor, dot_product) is OLD minus NEW labeled loss: positive when the pseudo labels helped. It multiplies
the gradient of CE(y_u, T(x_u)) with y_u the hard label the student was given; with the target softmax(z) itself, as in
the released code, that gradient is exactly zero. The table (exact) is dL_l(theta_S') / dq for each example and class.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from mpl_tf.devices import distribute
from mpl_tf.step import losses
from mpl_tf.step.gradients import logit_gradient


class Feedback(NamedTuple):
    """What the student tells its teacher after a step.

    Attributes:
        loss: function of the teacher's logits float32 [b, C] that labeled x_u, returning a scalar; its gradient is the
            feedback.
        h: float32 scalar over all replicas, before its baseline; 0 where the feedback is off.
        baseline: float32 scalar that a scalar h is compared with.
    """

    loss: Callable
    h: tf.Tensor
    baseline: tf.Tensor


def taylor(student, labeled_loss, x_l, old, new):
    """h = L_l(theta_S) - L_l(theta_S'), the paper's form.

    To first order it is the dot product for plain SGD alone, where the step is along the gradient. With momentum most
    of the step is the velocity of earlier pseudo labels, whose help h counts too: on digits its correlation with the
    dot product is 0.93 without momentum (the same sign in 91 % of the steps), 0.84 at momentum 0.9 (79 %).

    Args:
        student: step.network.Learner.
        labeled_loss: function of the logits [b, C] on x_l, the mean loss of this replica's examples, a float32 scalar.
        x_l: this replica's labeled examples.
        old, new: theta_S and theta_S', lists of tensors.
    Returns:
        float32 scalar, over all replicas.
    """
    before, after = (labeled_loss(student.forward(weights, [x_l])[0][0]) for weights in (old, new))
    return distribute.mean(before - after)


def dot_product(direction, pseudo_gradient, coefficient):
    """h = eta_S <grad L_l(theta_S'), g_u> (Algorithm 1), a float32 scalar.

    Args:
        direction: grad L_l(theta_S'), `labeled_gradient` at theta_S', times the factors of the weights' rates.
        pseudo_gradient: g_u over the global batch, list of tensors.
        coefficient: eta_S, float32 scalar.
    """
    return coefficient * distribute.dot(direction, pseudo_gradient)


def exact(student, direction, x_u, old, coefficient, batch):
    """dL_l(theta_S') / dq, per example and class, by one directional derivative of the student.

    The student's step with targets q and loss -(1/B) sum q log S(x_u; theta_S) gives
    dL_l/dq_jc = (eta_S / B) d/de log S_c(x_j; theta_S + e v) at e = 0, with v = grad L_l(theta_S'): the expectation of
    REINFORCE without its sampling noise, for a network of any size.

    Args:
        student: step.network.Learner.
        direction: v, `labeled_gradient` at theta_S'; pulled back through the student's step where that clips its
            gradient or weights have rates of their own (network.Update), so that the table is the derivative through
            these too.
        x_u: this replica's unlabeled examples, as the student saw them, b of them.
        old: theta_S, list of tensors.
        coefficient: eta_S (times any constant between q and the target), float32 scalar.
        batch: B, unlabeled examples over all replicas.
    Returns:
        float32 [b, C].
    """
    # v points where the labeled loss rises; the targets that draw the student there are the harmful ones.
    return coefficient / batch * student.log_probability_derivative(old, direction, x_u)


def similarities(student, labeled_loss, x_l, x_u, q, theta):
    """<grad L_l(theta), grad CE(q_j, S(x_j; theta))> of each example j: Meta-Semi's meta gradient over minus its rate.

    Linear in q as the table of `exact` is, and made of the same directional derivative; each weight counts by the
    factor of its learning rate, if it has one.

    Args:
        student, labeled_loss, x_l: as in `taylor`.
        x_u: this replica's examples, b of them.
        q: their targets, float32 [b, C].
        theta: weights, list of tensors.
    Returns:
        float32 [b].
    """
    direction = labeled_gradient(student, labeled_loss, x_l, theta)
    derivative = student.log_probability_derivative(theta, student.rated(direction), x_u)
    return -tf.reduce_sum(q * derivative, axis=-1)


def labeled_gradient(student, labeled_loss, x_l, weights):
    """grad L_l at `weights` over the global batch, list of tensors; arguments as in `taylor`."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        zs, _ = student.forward(weights, [x_l])
    return student.backward(tape, zs, weights, logit_gradient(zs, labeled_loss))


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
    """The replica's mean over examples, times B for "sum"."""
    return tf.reduce_mean(examples) * (batch if scale == "sum" else 1)
