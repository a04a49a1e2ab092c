"""Networks of keras.applications and backbones of KerasCV, with the classifier put on.

What they do to their inputs (keras.applications' preprocess_input, or their own first layers) is one affine layer here,
in float32, that starts from what the data set's normalisation has made of the pixels: a network of any library stands
beside any other one, as teacher or student, and its exported form takes pixels as all do. Batch norm is ours, with its
statistics over all replicas. EfficientNetB0 to B7 hold the statistics of their inputs among their weights; ImageNet's
stand in for them.

Layers that cannot be written to a file and read again are replaced by stock ones that compute the same: KerasCV's
lambdas of SiLU and its hard sigmoid. What cannot be replaced is refused.
"""

import inspect
import warnings

import keras
import numpy as np

from mpl_tf.base.errors import UsageError, reason
from mpl_tf.models import keras_cv_mends, keras_cv_presets
from mpl_tf.models.layers import BatchNorm, MaxPooling2D
from mpl_tf.settings.catalogue import FOREIGN, IMAGENET_MEAN, IMAGENET_STD

INPUT_LAYERS = (keras.layers.Rescaling, keras.layers.Normalization)


def network(name, shape, num_classes, dropout=0.0, normalisation=None):
    """A network of another library.

    Args:
        name: of the catalogue's foreign rows, "keras:NAME" or "keras_cv:PRESET".
        shape: (H, W, 3), as large as its row says.
        num_classes: number of logits.
        dropout: rate before the classifier, in [0, 1).
        normalisation: (scale, offset), lists of three floats: its inputs are scale * pixel + offset; None: pixels in
            [0, 255].
    Returns:
        keras.Model, float32 [B, H, W, 3] -> logits float32 [B, num_classes], its classifier last.
    Raises:
        UsageError: a layer that can be neither copied nor replaced, or a shape that the library refuses.
    """
    source = body(name, shape)
    first = _input_layers(source)
    inputs = keras.Input(shape, dtype="float32")
    x = _brought_to_form(inputs, name, first, normalisation)
    x = _laid_out(source, x, {id(layer) for layer in first}, name)
    if len(x.shape) == 4:
        x = keras.layers.GlobalAveragePooling2D(name="classifier_pooling")(x)  # [B, C]
    x = keras.layers.Dropout(dropout, name="classifier_dropout")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="classifier")(x)
    made = keras.Model(inputs, logits, name=name.replace(":", "_"))
    # Norms within layers of layers are the library's own, which can take statistics over replicas too.
    for layer in made._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    return made


def body(name, shape, weights=None):
    """The network as its library makes it, without classifier: its weights are those of `network`'s before that.

    Args:
        name: as in `network`.
        shape: (H, W, 3).
        weights: None, "imagenet" for the library's own, downloaded, or for "keras:NAME" the path of a file that
            keras.applications has written for the network without top.
    Returns:
        keras.Model of images in the library's form -> features [B, C] or [B, h, w, C].
    Raises:
        UsageError: a shape that the library refuses. What a download or a file raises is passed on.
    """
    library, _, own = name.partition(":")
    if library == "keras_cv":
        return _backbone(name, own, shape, weights)
    make = getattr(keras.applications, own)
    with warnings.catch_warnings():  # Of sides that the weights were not made for, which are as welcome.
        warnings.simplefilter("ignore", UserWarning)
        return make(include_top=False, weights=weights, input_shape=tuple(shape), pooling="avg")


def _backbone(name, preset, shape, weights):
    """A preset of KerasCV."""
    import keras_cv

    keras_cv_mends.mend()
    kind, arguments = keras_cv_presets.configuration(preset)
    kind = getattr(keras_cv.models, kind)
    if weights:
        return kind.from_preset(FOREIGN[name].pretrained, load_weights=True, input_shape=tuple(shape))
    try:
        if kind is keras_cv.models.MiTBackbone and shape[0] != shape[1]:  # It would take rows for others' parts.
            raise ValueError("its layers take the root of their inputs' length for a side")
        return kind(**arguments, input_shape=tuple(shape))
    except ValueError as error:  # Of images that are not square.
        raise UsageError(f"--model: {name} does not take images of shape {tuple(shape)} ({reason(error)})") from error


def handle(name):
    """Where KerasCV has the weights of a preset: the name of a model on Kaggle, or of a folder of Google's storage."""
    import keras_cv

    own = FOREIGN[name].pretrained
    kind = getattr(keras_cv.models, keras_cv_presets.configuration(own)[0])
    return kind.presets[own]["kaggle_handle"].partition("://")[2]


def _input_layers(source):
    """The layers at a network's start that bring its inputs to their form."""
    layers = source.layers[1:]
    count = next(n for n, layer in enumerate(layers) if not isinstance(layer, INPUT_LAYERS))
    return layers[:count]


def _brought_to_form(x, name, first, normalisation):
    """What the network's first layer of weights takes, of images as the pipeline has them, float32 [B, H, W, 3]."""
    scale, offset, order = _preprocessing(name)
    for layer in first:
        if isinstance(layer, keras.layers.Rescaling):
            more, shift = np.asarray(layer.scale), np.asarray(layer.offset)
        else:
            mean, variance = layer.input_mean, layer.input_variance
            if mean is None:  # Weights of the network, see the head.
                mean, variance = IMAGENET_MEAN, np.square(IMAGENET_STD)
            more, shift = 1 / np.sqrt(variance), -np.asarray(mean) / np.sqrt(variance)
        scale, offset = scale * more, offset * more + shift
    if normalisation:  # Of pixels, which they are no more: pixel = (x - theirs[1]) / theirs[0].
        theirs = np.asarray(normalisation)[:, order]  # [2, 3]
        scale, offset = scale / theirs[0], offset - scale * theirs[1] / theirs[0]
    if order[0]:
        x = keras.ops.flip(x, axis=-1)
    if np.allclose(scale, 1) and np.allclose(offset, 0, atol=1e-6):
        return x
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), dtype="float32", name="classifier_inputs")(x)


def _preprocessing(name):
    """preprocess_input of a network's module, as numbers: (scale [3], offset [3], order of the channels, list).

    It is affine in each channel, and may turn red, green, blue around.
    """
    library, _, own = name.partition(":")
    if library == "keras_cv":
        return np.ones(3), np.zeros(3), [0, 1, 2]
    preprocess = inspect.getmodule(getattr(keras.applications, own)).preprocess_input
    probes = np.concatenate([np.zeros([1, 3]), 255 * np.eye(3)]).astype(np.float32)  # Black, red, green, blue.
    found = np.asarray(preprocess(probes[:, None, None]))[:, 0, 0].astype(np.float64)  # [4, 3]
    slopes = (found[1:] - found[0]) / 255  # [3 of the pixel, 3 of the result]
    order = np.abs(slopes).argmax(axis=0)
    return slopes[order, [0, 1, 2]], found[0], order.tolist()


def _laid_out(source, x, skipped, name):
    """A library's network on another tensor: copies of its layers, one after the other in one graph.

    Args:
        source: keras.Model, without whose weights the copies come.
        x: KerasTensor in its place of input.
        skipped: ids of layers to leave out.
        name: of the network, for messages.
    """
    copies = {}

    def copied(operation):
        if id(operation) in skipped:
            return lambda x: x
        if id(operation) not in copies:
            copies[id(operation)] = _copy(operation, name)
        return copies[id(operation)]

    return source._run_through_graph(x, copied)


def _copy(operation, name):
    """A layer or an operation anew, or what stands in for it."""
    if isinstance(operation, keras.Model):
        return keras.models.clone_model(operation, clone_function=lambda part: _copy(part, name))
    config, kind = operation.get_config(), type(operation)
    if kind is keras.layers.BatchNormalization:
        config.pop("synchronized")
        kind = BatchNorm
    elif kind is keras.layers.MaxPooling2D:
        kind = MaxPooling2D
    elif kind is keras.layers.Lambda:  # KerasCV's only one.
        config, kind = {"activation": "silu", "name": operation.name}, keras.layers.Activation
    elif type(config.get("excite_activation")).__name__ == "HardSigmoidActivation":
        config["excite_activation"] = "hard_sigmoid"
    try:
        return kind.from_config(config)
    except Exception as error:  # Whatever a layer says to its own configuration.
        raise UsageError(
            f"--model: {name} has a layer that cannot be copied or saved, {operation.name}: its configuration makes no "
            f"{kind.__name__} again; take another network"
        ) from error
