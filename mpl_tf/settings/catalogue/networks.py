"""The networks. A new one: its file in mpl_tf/models/ and its row here."""

from mpl_tf.settings.catalogue.rows import NetworkRow, table

PATH = "mpl_tf.models.efficientnet"


def _efficientnet(name, text, pretrained="", **more):
    names = f"{PATH}:torch_names"
    return NetworkRow(name, text, f"{PATH}:{name}", 32, residual=True, pretrained=pretrained, names=names, **more)


def _lite(number, weights, side):
    text = f"EfficientNet-Lite{number}, for small machines, made for {side} x {side} pixels; {weights} M weights"
    return _efficientnet(f"efficientnet_lite{number}", text, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


NETWORKS = table(
    NetworkRow("mlp", "two hidden layers of 8 units, for points", "mpl_tf.models.mlp:mlp", smallest=0),
    NetworkRow("small_cnn", "four convolutions, 32 to 64 channels", "mpl_tf.models.small_cnn:small_cnn", smallest=8),
    NetworkRow("narrow_cnn", "small_cnn at half its width", "mpl_tf.models.small_cnn:narrow_cnn", smallest=8),
    NetworkRow(
        "fast_resnet",
        help="small residual network for CPUs, strides before its blocks; 0.5 M weights",
        path="mpl_tf.models.fast_resnet:fast_resnet",
        smallest=8,
        residual=True,
    ),
    NetworkRow(
        "fast_resnet_wide",
        help="fast_resnet at twice its width; 1.9 M weights",
        path="mpl_tf.models.fast_resnet:fast_resnet_wide",
        smallest=8,
        residual=True,
    ),
    NetworkRow("cnn13", "nine convolutions, that of Mean Teacher; 3.1 M weights", "mpl_tf.models.cnn13:cnn13", 12),
    NetworkRow(
        "wide_resnet_28_2",
        help="Wide ResNet-28-2, the paper's for small images; 1.5 M weights",
        path="mpl_tf.models.wide_resnet:wide_resnet_28_2",
        smallest=8,
        residual=True,
    ),
    NetworkRow(
        "wide_resnet_28_10",
        help="Wide ResNet-28-10; 36.7 M weights",
        path="mpl_tf.models.wide_resnet:wide_resnet_28_10",
        smallest=8,
        residual=True,
    ),
    NetworkRow(
        "resnet_50",
        help="ResNet-50, the paper's for ImageNet; 25.6 M weights",
        path="mpl_tf.models.resnet:resnet_50",
        smallest=32,
        residual=True,
        pretrained="ResNet50",
    ),
    _efficientnet("efficientnet_b0", "EfficientNet-B0; 5.3 M weights", "EfficientNetB0"),
    _efficientnet("efficientnet_b1", "EfficientNet-B1; 7.8 M weights", "EfficientNetB1"),
    _efficientnet("efficientnet_b2", "EfficientNet-B2; 9.1 M weights", "EfficientNetB2"),
    _efficientnet("efficientnet_b3", "EfficientNet-B3; 12.2 M weights", "EfficientNetB3"),
    _efficientnet("efficientnet_b4", "EfficientNet-B4; 19.3 M weights", "EfficientNetB4"),
    _efficientnet("efficientnet_b5", "EfficientNet-B5; 30.4 M weights", "EfficientNetB5"),
    _efficientnet("efficientnet_b6", "EfficientNet-B6; 43.0 M weights", "EfficientNetB6"),
    _efficientnet("efficientnet_b7", "EfficientNet-B7; 66.3 M weights", "EfficientNetB7"),
    _efficientnet("efficientnet_b8", "EfficientNet-B8; 87.4 M weights"),
    _efficientnet("efficientnet_l2", "EfficientNet-L2; 480 M weights"),
    _efficientnet("efficientnet_b6_wide", "EfficientNet-B6-Wide by the paper's factors; 317 M weights"),
    _efficientnet("efficientnet_b6_wide_390m", "EfficientNet-B6-Wide by the paper's number of weights; 390 M"),
    _lite(0, 4.7, 224),
    _lite(1, 5.4, 240),
    _lite(2, 6.1, 260),
    _lite(3, 8.2, 280),
    _lite(4, 13.0, 300),
)
