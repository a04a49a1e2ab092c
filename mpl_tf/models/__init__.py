"""Networks by name. Each entry is a function (shape, num_classes, dropout) -> keras.Model of float32 logits."""

from mpl_tf.errors import UsageError
from mpl_tf.models.mlp import mlp
from mpl_tf.models.small_cnn import narrow_cnn, small_cnn
from mpl_tf.models.wide_resnet import wide_resnet_28_2, wide_resnet_28_10

MODELS = {
    "mlp": mlp,
    "small_cnn": small_cnn,
    "narrow_cnn": narrow_cnn,
    "wide_resnet_28_2": wide_resnet_28_2,
    "wide_resnet_28_10": wide_resnet_28_10,
}


def build(name, shape, num_classes, dropout=0.0):
    """A new network of that name, its weights drawn from Keras' global seed.

    Raises:
        UsageError: unknown name, or a shape of examples that the network cannot take.
    """
    if name not in MODELS:
        raise UsageError(f"--model: expected one of {', '.join(MODELS)}, got {name}")
    return MODELS[name](shape, num_classes, dropout)
