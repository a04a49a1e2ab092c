"""Networks by name. Each entry is a function (shape, num_classes, dropout) -> keras.Model of float32 logits.

Those of RESIDUAL have branches to skip in training and a namespace of layers, and take stochastic_depth and layers too.
"""

import functools

from mpl_tf.base.errors import UsageError
from mpl_tf.models import efficientnet
from mpl_tf.models.cnn13 import cnn13
from mpl_tf.models.mlp import mlp
from mpl_tf.models.resnet import resnet_50
from mpl_tf.models.small_cnn import narrow_cnn, small_cnn
from mpl_tf.models.wide_resnet import wide_resnet_28_2, wide_resnet_28_10

RESIDUAL = {
    "wide_resnet_28_2": wide_resnet_28_2,
    "wide_resnet_28_10": wide_resnet_28_10,
    "resnet_50": resnet_50,
    **efficientnet.NETWORKS,
}
MODELS = {
    "mlp": mlp,
    "small_cnn": small_cnn,
    "narrow_cnn": narrow_cnn,
    "cnn13": cnn13,
    **RESIDUAL,
}


def build(name, shape, num_classes, dropout=0.0, stochastic_depth=0.0, flag="model", layers=None):
    """A new network of that name, its weights drawn from Keras' global seed.

    Args:
        name: as in MODELS.
        shape: of one example.
        num_classes: number of logits.
        dropout, stochastic_depth: rates in [0, 1); see the networks.
        flag: the flag that gave the name, for messages.
        layers: namespace of the layers of a residual network; None: mpl_tf.models.layers.
    Raises:
        UsageError: unknown name, a shape of examples that the network cannot take, no branches to skip, or layers of
            its own.
    """
    if name not in MODELS:
        raise UsageError(f"--{flag}: expected one of {', '.join(MODELS)}, got {name}")
    if stochastic_depth and name not in RESIDUAL:
        raise UsageError(
            f"--stochastic_depth: expected 0 with {name}, which has no residual branches, got {stochastic_depth}; "
            f"it goes with {', '.join(RESIDUAL)}"
        )
    if layers and name not in RESIDUAL:
        raise UsageError(f"--{flag}: expected one of {', '.join(RESIDUAL)} for this kind of layers, got {name}")
    options = {"stochastic_depth": stochastic_depth} if name in RESIDUAL else {}
    make = functools.partial(MODELS[name], shape, num_classes, dropout, **options)
    try:
        network = make(layers=layers) if layers else make()
    except UsageError as error:
        named = str(error).startswith("--")
        raise UsageError(str(error) if named else f"--{flag}: {error}") from error
    if layers:
        network.twin = make  # The same network of ordinary layers, for its export.
    return network
