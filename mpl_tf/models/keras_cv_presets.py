"""What KerasCV's backbone presets are made of: the arguments of their classes.

KerasCV 0.9 downloads them with each preset; here they stand as their papers have them, so that a network is made
without a connection. The number of weights that KerasCV states for each preset checks them.
"""

import itertools

RESNETS = {  # Blocks of the four stages; 18 and 34 have basic blocks.
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
DENSENETS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}
# Width and depth of the EfficientNets, their Lite and their second form.
SCALES = {
    "b0": (1.0, 1.0),
    "b1": (1.0, 1.1),
    "b2": (1.1, 1.2),
    "b3": (1.2, 1.4),
    "b4": (1.4, 1.8),
    "b5": (1.6, 2.2),
    "b6": (1.8, 2.6),
    "b7": (2.0, 3.1),
}
# EfficientNetV2's stages (Tan and Le 2021): repeats, stride, expansion, channels in and out, whether it squeezes and
# excites (and is then no fused block).
EFFICIENTNET_V2 = {
    "b": (
        (1, 1, 1, 32, 16, False),
        (2, 2, 4, 16, 32, False),
        (2, 2, 4, 32, 48, False),
        (3, 2, 4, 48, 96, True),
        (5, 1, 6, 96, 112, True),
        (8, 2, 6, 112, 192, True),
    ),
    "s": (
        (2, 1, 1, 24, 24, False),
        (4, 2, 4, 24, 48, False),
        (4, 2, 4, 48, 64, False),
        (6, 2, 4, 64, 128, True),
        (9, 1, 6, 128, 160, True),
        (15, 2, 6, 160, 256, True),
    ),
    "m": (
        (3, 1, 1, 24, 24, False),
        (5, 2, 4, 24, 48, False),
        (5, 2, 4, 48, 80, False),
        (7, 2, 4, 80, 160, True),
        (14, 1, 6, 160, 176, True),
        (18, 2, 6, 176, 304, True),
        (5, 1, 6, 304, 512, True),
    ),
    "l": (
        (4, 1, 1, 32, 32, False),
        (7, 2, 4, 32, 64, False),
        (7, 2, 4, 64, 96, False),
        (10, 2, 4, 96, 192, True),
        (19, 1, 6, 192, 224, True),
        (25, 2, 6, 224, 384, True),
        (7, 1, 6, 384, 640, True),
    ),
}
# MobileNetV3's blocks (Howard et al. 2019, tables 1 and 2): expansion, channels, kernel, stride, excited, hard swish.
MOBILENET_V3 = {
    "small": (
        (1, 16, 3, 2, True, False),
        (72 / 16, 24, 3, 2, False, False),
        (88 / 24, 24, 3, 1, False, False),
        (4, 40, 5, 2, True, True),
        (6, 40, 5, 1, True, True),
        (6, 40, 5, 1, True, True),
        (3, 48, 5, 1, True, True),
        (3, 48, 5, 1, True, True),
        (6, 96, 5, 2, True, True),
        (6, 96, 5, 1, True, True),
        (6, 96, 5, 1, True, True),
    ),
    "large": (
        (1, 16, 3, 1, False, False),
        (4, 24, 3, 2, False, False),
        (3, 24, 3, 1, False, False),
        (3, 40, 5, 2, True, False),
        (3, 40, 5, 1, True, False),
        (3, 40, 5, 1, True, False),
        (6, 80, 3, 2, False, True),
        (2.5, 80, 3, 1, False, True),
        (2.3, 80, 3, 1, False, True),
        (2.3, 80, 3, 1, False, True),
        (6, 112, 3, 1, True, True),
        (6, 112, 3, 1, True, True),
        (6, 160, 5, 2, True, True),
        (6, 160, 5, 1, True, True),
        (6, 160, 5, 1, True, True),
    ),
}
DARKNETS = {  # Channels of the first stage, which double, and blocks of the first.
    "tiny": (48, 1),
    "s": (64, 1),
    "m": (96, 2),
    "l": (128, 3),
    "xl": (170, 4),
}
MIT_DEPTHS = {
    "b0": (2, 2, 2, 2),
    "b1": (2, 2, 2, 2),
    "b2": (3, 4, 6, 3),
    "b3": (3, 4, 18, 3),
    "b4": (3, 8, 27, 3),
    "b5": (3, 6, 40, 3),
}
YOLOS = {
    "xs": ((32, 64, 128, 256), (1, 2, 2, 1)),
    "s": ((64, 128, 256, 512), (1, 2, 2, 1)),
    "m": ((96, 192, 384, 576), (2, 4, 4, 2)),
    "l": ((128, 256, 512, 512), (3, 6, 6, 3)),
    "xl": ((160, 320, 640, 640), (3, 6, 6, 3)),
}
VITS = {"base": (768, 12, 12), "large": (1024, 24, 16), "huge": (1280, 32, 16)}  # Width, depth, heads.


def configuration(preset):
    """A preset's class and its arguments, without the weights that some presets name.

    Args:
        preset: of the catalogue's, without "keras_cv:".
    Returns:
        (name of a class of keras_cv.models, dict of its arguments).
    """
    name = preset.removesuffix("_imagenet").removesuffix("_coco").removesuffix("_sa1b")
    for start, arguments in _FAMILIES.items():
        if name.startswith(start):
            kind, found = arguments(name.removeprefix(start))
            return kind, found | {"include_rescaling": True}
    raise KeyError(preset)


def _resnet(name):
    number, second = int(name.removesuffix("_v2")), name.endswith("_v2")
    return "ResNetV2Backbone" if second else "ResNetBackbone", {
        "stackwise_filters": [64, 128, 256, 512],
        "stackwise_blocks": list(RESNETS[number]),
        "stackwise_strides": [1, 2, 2, 2],
        "block_type": "block" if number >= 50 else "basic_block",
    }


def _densenet(name):
    repeats = list(DENSENETS[int(name)])
    return "DenseNetBackbone", {"stackwise_num_repeats": repeats, "compression_ratio": 0.5, "growth_rate": 32}


def _efficientnet(name, kind="EfficientNetV1Backbone", activation="swish", **more):
    width, depth = SCALES[name]
    return kind, more | {
        "width_coefficient": width,
        "depth_coefficient": depth,
        "activation": activation,
        "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
        "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
        "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
        "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
        "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
        "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
    }


def _efficientnet_v1(name):
    return _efficientnet(name, stackwise_squeeze_and_excite_ratios=[0.25] * 7)


def _efficientnet_lite(name):
    return _efficientnet(name, "EfficientNetLiteBackbone", "relu6")


def _efficientnet_v2(name):
    width, depth = SCALES.get(name, (1.0, 1.0))
    stages = EFFICIENTNET_V2[name[0]]
    repeats, strides, expansions, into, out, excited = (list(values) for values in zip(*stages, strict=True))
    return "EfficientNetV2Backbone", {
        "width_coefficient": width,
        "depth_coefficient": depth,
        "stackwise_kernel_sizes": [3] * len(stages),
        "stackwise_num_repeats": repeats,
        "stackwise_input_filters": into,
        "stackwise_output_filters": out,
        "stackwise_expansion_ratios": expansions,
        "stackwise_squeeze_and_excite_ratios": [0.25 if yes else 0.0 for yes in excited],
        "stackwise_strides": strides,
        "stackwise_conv_types": ["unfused" if yes else "fused" for yes in excited],
    }


def _mobilenet_v3(name):
    expansions, filters, kernels, strides, excited, hard = zip(*MOBILENET_V3[name], strict=True)
    return "MobileNetV3Backbone", {
        "stackwise_expansion": list(expansions),
        "stackwise_filters": list(filters),
        "stackwise_kernel_size": list(kernels),
        "stackwise_stride": list(strides),
        "stackwise_se_ratio": [0.25 if yes else None for yes in excited],
        "stackwise_activation": ["hard_swish" if yes else "relu" for yes in hard],
    }


def _csp_darknet(name):
    channels, blocks = DARKNETS[name]
    return "CSPDarkNetBackbone", {
        "stackwise_channels": [channels * 2**stage for stage in range(4)],
        "stackwise_depth": [blocks, 3 * blocks, 3 * blocks, blocks],
    }


def _mit(name):
    widths = [32, 64, 160, 256] if name == "b0" else [64, 128, 320, 512]
    return "MiTBackbone", {"embedding_dims": widths, "depths": list(MIT_DEPTHS[name])}


def _yolo(name):
    channels, depths = YOLOS[name.removesuffix("_backbone")]
    return "YOLOV8Backbone", {"stackwise_channels": list(channels), "stackwise_depth": list(depths)}


def _vit_det(name):
    width, depth, heads = VITS[name]
    quarters = [end - 1 for end in itertools.accumulate([depth // 4] * 4)]  # Their last blocks attend to all.
    arguments = {"embed_dim": width, "depth": depth, "mlp_dim": 4 * width, "num_heads": heads}
    return "ViTDetBackbone", arguments | {"global_attention_indices": quarters}


_FAMILIES = {
    "csp_darknet_": _csp_darknet,
    "densenet": _densenet,
    "efficientnetlite_": _efficientnet_lite,
    "efficientnetv1_": _efficientnet_v1,
    "efficientnetv2_": _efficientnet_v2,
    "mit_": _mit,
    "mobilenet_v3_": _mobilenet_v3,
    "resnet": _resnet,
    "vitdet_": _vit_det,
    "yolo_v8_": _yolo,
}
