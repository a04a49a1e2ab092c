"""Networks of keras.applications and KerasCV as their makers lay them out, with few and narrow blocks: quick to trace.

Each has the layers of its family: fused and plain norms, squeeze and excitation, layer norm and scale, attention,
lambdas, layers within layers, dropout of residual branches.
"""

import functools
import warnings

import keras
import pytest

from mpl_tf.models import foreign, keras_cv_mends

SIDE = 32


def _efficientnet_v2(shape):
    from keras.src.applications.efficientnet_v2 import EfficientNetV2

    def stage(into, out, expand, squeeze, stride, kind):
        return {
            "kernel_size": 3,
            "num_repeat": 2,
            "input_filters": into,
            "output_filters": out,
            "expand_ratio": expand,
            "se_ratio": squeeze,
            "strides": stride,
            "conv_type": kind,
        }

    blocks = [stage(8, 8, 2, 0.0, 1, 1), stage(8, 16, 2, 0.25, 2, 0)]
    options = {"drop_connect_rate": 0.3, "blocks_args": blocks, "include_top": False, "weights": None, "pooling": "avg"}
    return EfficientNetV2(0.02, 1.0, 32, input_shape=shape, name="efficientnetv2-b0", **options)


def _efficientnet(shape):
    from keras.src.applications.efficientnet import DEFAULT_BLOCKS_ARGS, EfficientNet

    options = {"blocks_args": DEFAULT_BLOCKS_ARGS[:2], "include_top": False, "weights": None, "pooling": "avg"}
    return EfficientNet(0.25, 1.0, 32, 0.0, 0.3, input_shape=shape, name="small", **options)


def _convnext(shape):
    from keras.src.applications.convnext import ConvNeXt

    depths, widths = [1, 1, 1, 1], [8, 12, 16, 20]
    return ConvNeXt(
        depths, widths, default_size=32, name="small", include_top=False, weights=None, input_shape=shape, pooling="avg"
    )


def _mobilenet_v3(shape):
    from keras.src.applications import mobilenet_v3

    def blocks(x, kernel, activation, se_ratio):
        x = mobilenet_v3._inverted_res_block(x, 1, 8, 3, 2, se_ratio, mobilenet_v3.relu, 0)
        return mobilenet_v3._inverted_res_block(x, 2, 8, kernel, 1, None, activation, 1)

    make = functools.partial(mobilenet_v3.MobileNetV3, blocks, 16, name="small", include_top=False, weights=None)
    return make(input_shape=shape, pooling="avg")


def _resnet(shape, second):
    from keras.src.applications import resnet

    stack = resnet.stack_residual_blocks_v2 if second else resnet.stack_residual_blocks_v1
    options = {"include_top": False, "weights": None, "weights_name": "small", "pooling": "avg", "name": "small"}
    return resnet.ResNet(lambda x: stack(x, 4, 2, name="conv2"), second, True, input_shape=shape, **options)


def _densenet(shape):
    from keras.src.applications.densenet import DenseNet

    return DenseNet([1, 1, 1, 1], include_top=False, weights=None, input_shape=shape, pooling="avg", name="small")


def _keras_cv(kind, **arguments):
    def make(shape):
        import keras_cv

        keras_cv_mends.mend()
        return getattr(keras_cv.models, kind)(**arguments, include_rescaling=True, input_shape=shape)

    return make


def _mit(shape):
    """Of images smaller than MiT takes: its last encoder has one part, and would not know its shape."""
    from keras_cv.layers import HierarchicalTransformerEncoder as Encoder

    def output(layer, inputs):
        found = keras.layers.Layer.compute_output_spec(layer, inputs)  # Makes the weights too.
        return keras.KerasTensor(inputs.shape, found.dtype)

    Encoder.compute_output_spec = output
    # Of few channels TensorFlow 2.21's convolutions in bfloat16 are wrong on CPUs where one kernel covers an image.
    return _keras_cv("MiTBackbone", depths=[1, 1, 1, 1], embedding_dims=[32, 32, 20, 16])(shape)


MINIATURES = {
    "keras:EfficientNetV2B0": _efficientnet_v2,
    "keras:EfficientNetB0": _efficientnet,
    "keras:ConvNeXtTiny": _convnext,
    "keras:MobileNetV3Small": _mobilenet_v3,
    "keras:ResNet50": functools.partial(_resnet, second=False),
    "keras:ResNet50V2": functools.partial(_resnet, second=True),
    "keras:DenseNet121": _densenet,
    "keras_cv:resnet18": _keras_cv(
        "ResNetBackbone",
        stackwise_filters=[64, 8],
        stackwise_blocks=[1, 1],
        stackwise_strides=[1, 2],
        block_type="basic_block",
    ),
    "keras_cv:efficientnetv2_b0": _keras_cv(
        "EfficientNetV2Backbone",
        width_coefficient=0.1,
        depth_coefficient=1.0,
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[2, 2],
        stackwise_input_filters=[80, 80],
        stackwise_output_filters=[80, 160],
        stackwise_expansion_ratios=[2, 2],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25],
        stackwise_strides=[1, 2],
        stackwise_conv_types=["fused", "unfused"],
        skip_connection_dropout=0.3,
    ),
    "keras_cv:mobilenet_v3_small": _keras_cv(
        "MobileNetV3Backbone",
        stackwise_expansion=[1, 2],
        stackwise_filters=[8, 8],
        stackwise_kernel_size=[3, 5],
        stackwise_stride=[2, 1],
        stackwise_se_ratio=[0.5, None],
        stackwise_activation=["relu", "hard_swish"],
    ),
    "keras_cv:csp_darknet_tiny": _keras_cv("CSPDarkNetBackbone", stackwise_channels=[8, 16], stackwise_depth=[1, 1]),
    "keras_cv:yolo_v8_xs_backbone": _keras_cv("YOLOV8Backbone", stackwise_channels=[8, 16], stackwise_depth=[1, 1]),
    "keras_cv:mit_b0": _mit,
    "keras_cv:vitdet_base": _keras_cv(
        "ViTDetBackbone",
        embed_dim=8,
        depth=2,
        mlp_dim=16,
        num_heads=2,
        out_chans=8,
        patch_size=8,
        window_size=2,
        global_attention_indices=[1],
    ),
}


# Those that are enough where every test counts its seconds: batch and layer norm, stock and nested layers.
QUICK = ("keras:ResNet50", "keras:ConvNeXtTiny", "keras_cv:mobilenet_v3_small", "keras_cv:efficientnetv2_b0")
TABLE = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in MINIATURES]


def body(name, shape, weights=None):
    """As foreign.body, of the miniatures; another path of weights is not theirs."""
    assert weights is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return MINIATURES[name](tuple(shape))


def network(name, classes=3, normalisation=None, dropout=0.0, monkeypatch=None, still=False):
    """foreign.network of a miniature; `still`: without its dropouts."""
    monkeypatch.setattr(foreign, "body", body)
    keras.utils.set_random_seed(3)
    made = foreign.network(name, (SIDE, SIDE, 3), classes, dropout, normalisation)
    for layer in made._flatten_layers() if still else ():
        if isinstance(layer, keras.layers.Dropout) and layer.rate:
            layer.rate = 1e-12  # At 0 its copies would have no seed.
    return made
