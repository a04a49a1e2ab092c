"""Networks by the names of the catalogue (settings/catalogue), whose rows say where each is and what it takes."""

import functools

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import catalogue


def build(name, shape, num_classes, dropout=0.0, stochastic_depth=0.0, flag="model", layers=None, normalisation=None):
    """A new network of that name, its weights drawn from Keras' global seed.

    Args:
        name: of the network.
        shape: of one example.
        num_classes: number of logits.
        dropout, stochastic_depth: rates in [0, 1); see the networks.
        flag: the flag that gave the name, for messages.
        layers: namespace of the layers of a residual network; None: mpl_tf.models.layers.
        normalisation: (scale, offset), lists of three floats, of the images that a network of a library is given,
            scale * pixel + offset; None: pixels in [0, 255]. Those of this program take what they are given.
    Raises:
        UsageError: unknown name, a shape of examples that the network cannot take, no branches to skip, or layers of
            its own.
    """
    row = catalogue.network(name, flag)
    residual = [row.name for row in catalogue.NETWORKS.values() if row.residual]
    if stochastic_depth and not row.residual:
        why = f"whose own rates are those of {row.library}" if row.library else "which has no residual branches"
        raise UsageError(
            f"--stochastic_depth: expected 0 with {name}, {why}, got {stochastic_depth}; it goes with "
            f"{', '.join(residual)}"
        )
    if layers and not row.residual:
        raise UsageError(f"--{flag}: expected one of {', '.join(residual)} for this kind of layers, got {name}")
    refused = row.refusal(shape)
    if refused:
        raise UsageError(f"--{flag}: {refused}")
    options = {"stochastic_depth": stochastic_depth} if row.residual else {}
    options |= {"normalisation": normalisation} if row.library else {}
    make = functools.partial(row.resolve(), shape, num_classes, dropout, **options)
    network = make(layers=layers) if layers else make()
    if layers:
        network.twin = make  # The same network of ordinary layers, for its export.
    return network
