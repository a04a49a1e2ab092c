"""What KerasCV 0.9 gets wrong about its own layers and would keep them from being copied and saved."""

import functools

import keras


@functools.cache
def mend():
    """Give MiT's encoder the configuration that its constructor takes, and its shape; done once, before it is made.

    KerasCV's own configuration leaves out how far the attention shortens its sequence, and names the dropped branches'
    share as no argument is named. A file with the whole of it opens by KerasCV alone. The shape, which is that of the
    input, is lost where the batch is of any size.
    """
    from keras_cv.layers import HierarchicalTransformerEncoder as Encoder

    def output(layer, inputs, **options):
        found = parent.compute_output_spec(layer, inputs, **options)  # Makes the weights too.
        return keras.KerasTensor(inputs.shape, found.dtype)

    parent = keras.layers.Layer
    Encoder.compute_output_spec = output
    Encoder.get_config = lambda layer: parent.get_config(layer) | _arguments(layer)


def _arguments(encoder):
    """Those of an encoder of MiT, by their names."""
    return {
        "project_dim": encoder.project_dim,
        "num_heads": encoder.num_heads,
        "sr_ratio": encoder.attn.sr_ratio,
        "drop_prob": encoder.drop_path.rate,
        "layer_norm_epsilon": encoder.norm1.epsilon,
    }
