"""Forms of flags whose text says more than one thing."""

import dataclasses
import re

from mpl_tf.base.errors import UsageError

# How the names of files end that hold many images: of --labeled_dir and the like, and of the filter's --images.
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ZIPS = (".zip",)
TABLES = (".parquet",)


@dataclasses.dataclass(frozen=True)
class Form:
    """How the text of a flag is to read.

    Args:
        words: the form as a person reads it, with an example.
        pattern: regular expression of the whole text; its groups are the form's parts.
    """

    words: str
    pattern: str

    def read(self, flag, text):
        """The parts of a flag's text, tuple of str.

        Raises:
            UsageError: the text does not read so.
        """
        found = re.fullmatch(self.pattern, text)
        if not found:
            raise UsageError(f"--{flag}: expected {self.words}, got {text or 'nothing'}")
        return found.groups()


MESH = Form("replica:R,core:S, as in replica:2,core:4", r"replica:([1-9]\d*),core:([1-9]\d*)")
_OPERATIONS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "Posterize",
    "Solarize",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Cutout",
)  # Those of data/operations.py, which a test compares.
_ONE = f"(?:{'|'.join(_OPERATIONS)})"
OPERATIONS = Form(
    f"some of {', '.join(_OPERATIONS)}, separated by commas, as in Rotate,TranslateX", rf"{_ONE}(?:,{_ONE})*"
)
EXPORTS = ("saved_model", "tflite", "onnx")
_FORMAT = f"(?:{'|'.join(EXPORTS)})"
FORMATS = Form(f"some of {', '.join(EXPORTS)}, separated by commas, as in tflite,onnx", rf"{_FORMAT}(?:,{_FORMAT})*")
VIEWS = Form("two numbers from 0 to 9999, as in 2,8, or 0,0", r"(\d{1,4}),(\d{1,4})")
BACKGROUND = Form("white, black or #rrggbb, as in #ff8000", r"(white|black|#[0-9a-fA-F]{6})")
