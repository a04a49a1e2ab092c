"""Networks of other libraries: keras:NAME, of keras.applications, and keras_cv:PRESET, a backbone of KerasCV.

Their names are literal, so that a misspelt one is told before Keras is imported; a test compares them with the
libraries'. KerasCV's presets of videos and of points in space are left out.
"""

import dataclasses
import difflib
import functools
import re

from mpl_tf.base.errors import UsageError
from mpl_tf.settings.catalogue.rows import NetworkRow, table

LIBRARIES = {"keras": "a network of keras.applications", "keras_cv": "a backbone preset of KerasCV"}
NEAR = 3  # Names that are told where one is misspelt.
# Names with their alternatives in braces, and the smallest side of images that these take, pixels.
KERAS = {
    "ConvNeXt{Tiny,Small,Base,Large,XLarge}": 32,
    "DenseNet{121,169,201}": 32,
    "EfficientNet{B0,B1,B2,B3,B4,B5,B6,B7}": 32,
    "EfficientNetV2{B0,B1,B2,B3,S,M,L}": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet{,V2,V3Small,V3Large}": 32,
    "NASNet{Mobile,Large}": 32,
    "ResNet{50,101,152}": 32,
    "ResNet{50,101,152}V2": 32,
    "VGG{16,19}": 32,
    "Xception": 71,
}
KERAS_CV = {
    "csp_darknet_{tiny,s,m,l,xl,tiny_imagenet,l_imagenet}": 32,
    "densenet{121,169,201}{,_imagenet}": 32,
    "efficientnetlite_{b0,b1,b2,b3,b4}": 32,
    "efficientnetv1_{b0,b1,b2,b3,b4,b5,b6,b7}": 32,
    "efficientnetv2_{b0,b1,b2,b3,s,m,l,b0_imagenet,b1_imagenet,b2_imagenet,s_imagenet}": 32,
    "mit_{b0,b1,b2,b3,b4,b5,b0_imagenet}": 64,  # Of 32 its last stage has one part, whose layers lose their shape.
    "mobilenet_v3_{small,large}{,_imagenet}": 32,
    "resnet{18,34,50,101,152,50_imagenet}": 32,
    "resnet{18,34,50,101,152}_v2": 32,
    "resnet50_v2_imagenet": 32,
    "vitdet_{base,large,huge}{,_sa1b}": 32,
    "yolo_v8_{xs,s,m,l,xl}_backbone{,_coco}": 32,
}
PATTERNS = {"keras": KERAS, "keras_cv": KERAS_CV}


@dataclasses.dataclass(frozen=True)
class ForeignRow(NetworkRow):
    """A network of another library; `path` is a function (name, shape, num_classes, dropout, normalisation)."""

    def resolve(self):
        """The function at `path`, its first argument given."""
        return functools.partial(super().resolve(), self.name)


def expanded(pattern):
    """The names that a pattern stands for: "a{b,c}" for ab and ac; list of str, in their order."""
    found = re.search(r"\{(.*?)\}", pattern)
    if not found:
        return [pattern]
    parts = found.group(1).split(",")
    return [name for part in parts for name in expanded(pattern[: found.start()] + part + pattern[found.end() :])]


def _rows():
    """A row of each network."""
    for library, patterns in PATTERNS.items():
        names = {name: side for pattern, side in patterns.items() for name in expanded(pattern)}
        for name, side in names.items():
            # Every network of keras.applications has weights; a preset its own, or those of its sister.
            weighted = name if library == "keras" or name.endswith("_imagenet") else f"{name}_imagenet"
            yield ForeignRow(
                f"{library}:{name}",
                help=f"{name}, {LIBRARIES[library]}",
                path="mpl_tf.models.foreign:network",
                smallest=side,
                pretrained=weighted if weighted in names else "",
                library=library,
            )


FOREIGN = table(*_rows())


class ForeignName:
    """The form of a flag that names a network of another library."""

    words = "keras:NAME or keras_cv:PRESET"
    names = tuple(FOREIGN)
    # What --help lists.
    listed = {
        f"{library}:{pattern}": f"{about}, {patterns[pattern]} pixels or more"
        for (library, patterns), about in zip(PATTERNS.items(), LIBRARIES.values(), strict=True)
        for pattern in patterns
    }

    @staticmethod
    def claims(text):
        """Whether a text is meant as such a name."""
        return text.partition(":")[0] in LIBRARIES and ":" in text

    @staticmethod
    def read(flag, text):
        """The row of a name.

        Raises:
            UsageError: there is no such network; it tells the nearest names.
        """
        if text in FOREIGN:
            return FOREIGN[text]
        library = text.partition(":")[0]
        # Whoever mixes up capitals finds the name all the same.
        lower = {name.lower(): name for name in FOREIGN if name.startswith(f"{library}:")}
        near = [lower[name] for name in difflib.get_close_matches(text.lower(), lower, n=NEAR)]
        told = f"near are {', '.join(near)}" if near else f"there are {', '.join(PATTERNS[library])}"
        raise UsageError(f"--{flag}: expected {LIBRARIES[library]}, got {text}; {told}")
