"""What KerasCV 0.9 gets wrong about its own layers and would keep them from being copied and saved."""

import functools

import keras


@functools.cache
def mend():
    """Give MiT's encoder the configuration that its constructor takes; done once, before a backbone is made.

    KerasCV's own leaves out how far the attention shortens its sequence, and names the dropped branches' share as no
    argument is named. A file with the whole of it opens by KerasCV alone.
    """
    from keras_cv.layers import HierarchicalTransformerEncoder as Encoder

    Encoder.get_config = lambda layer: keras.layers.Layer.get_config(layer) | _arguments(layer)


def _arguments(encoder):
    """Those of an encoder of MiT, by their names."""
    return {
        "project_dim": encoder.project_dim,
        "num_heads": encoder.num_heads,
        "sr_ratio": encoder.attn.sr_ratio,
        "drop_prob": encoder.drop_path.rate,
        "layer_norm_epsilon": encoder.norm1.epsilon,
    }
