"""An image file to pixels, the same for training, prediction, evaluation and filtering.

Pillow reads the formats of mpl_tf/data/file_kinds.py and no other, whatever a file's name says. What is no RGB image of
8 bits becomes one, and is counted (CONVERSIONS); transparency is laid on a background.
"""

import collections
import io
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageColor, ImageOps, UnidentifiedImageError

from mpl_tf.base import storage
from mpl_tf.base.errors import reason
from mpl_tf.data import ahead, members, sixteen_bit, tfrecord
from mpl_tf.data.file_kinds import FORMATS
from mpl_tf.data.unreadable import Unreadable
from mpl_tf.settings.forms import BACKGROUND

WHITE = (255, 255, 255)
ORIENTATION = 0x0112  # EXIF tag; 1: upright.
BOMB = 89_478_485  # Pixels; Pillow's own bound, a quarter of a GiB of RGB.
CONVERSIONS = {  # What an image went through, and how it is told.
    "animated": "animations, their first frames alone",
    "cmyk": "CMYK, without their colour profiles",
    "sixteen_bit": "of 16 bits, cut to the upper 8",
    "twelve_bit": "of 16 bits with no more than 12 in use, cut to the upper 8 of these",
    "clear": "wholly transparent, and so of one colour",
    "few_bits": "of 16 bits with 13 to 15 in use, taken as 16: dark, if fewer are meant",
}
BILINEAR = Image.Resampling.BILINEAR
# Functions of (PIL image, (width, height), background) by --resize.
RESIZED = {
    "crop": lambda image, size, background: ImageOps.fit(image, size, BILINEAR),
    "pad": lambda image, size, background: ImageOps.pad(image, size, BILINEAR, background),
    "stretch": lambda image, size, background: image.resize(size, BILINEAR),
}
warnings.filterwarnings("ignore", module=r"PIL\.")  # On large images and odd metadata: refused here, or harmless.


class DecodedFiles(NamedTuple):
    """Many files, decoded.

    Attributes:
        images: uint8 [N, S, S, 3]; black where a file could not be read.
        good: bool [N], False where a file could not be read.
        notes: tuple of lines for the user: what was converted, what was left out.
    """

    images: np.ndarray
    good: np.ndarray
    notes: tuple


def decode_files(sources, size, skip_bad, background=WHITE, resize="crop"):
    """Decode and resize many files.

    Args:
        sources: list of N paths, tfrecord.Records or Members.
        size: side S of the square images, pixels.
        skip_bad: leave an unreadable image black and mark it instead of raising.
        background: RGB, what transparent images are laid on.
        resize: as in `fit`.
    Returns:
        DecodedFiles.
    Raises:
        RunError: naming all files that could not be read, unless `skip_bad`.
        OSError: a server refuses one.
    """
    images, conversions, faults = decode_all(sources, size, background, resize)
    unreadable = Unreadable()
    for index in sorted(faults):
        unreadable.add(sources[index], faults[index])
    if faults and not skip_bad:
        raise unreadable.refusal()
    good = np.ones([len(sources)], bool)
    good[list(faults)] = False
    return DecodedFiles(images, good, (*converted(conversions), *unreadable.notes()))


def decode_all(sources, size, background=WHITE, resize="crop"):
    """Decode and resize many files, whatever they are.

    Args:
        sources, size, background, resize: as in `decode_files`.
    Returns:
        (images uint8 [N, S, S, 3]; Counter of CONVERSIONS; dict of the place of each file that cannot be read, whose
        image is black, to what is wrong with it).
    """
    images = np.zeros([len(sources), size, size, 3], np.uint8)
    conversions, faults = [""] * len(sources), {}
    damaged = tfrecord.damaged(source for source in sources if isinstance(source, tfrecord.Record))

    def read(index):
        source = sources[index]
        try:
            if source in damaged:
                raise ValueError(damaged[source])
            images[index], conversions[index] = _read(source, size, background, resize)
        except Exception as error:  # Damaged files raise whatever a plugin stumbles over: struct.error, IndexError, ...
            if storage.refused(error):
                raise
            faults[index] = fault(error)

    with ThreadPoolExecutor(ahead.workers(sources)) as pool:
        for _ in pool.map(read, range(len(sources))):
            pass
    return images, collections.Counter(filter(None, conversions)), faults


def converted(counts):
    """What images went through, in a line as a tuple that is empty where there is nothing; `counts`: Counter."""
    told = ", ".join(f"{count} {CONVERSIONS[kind]}" for kind, count in counts.most_common())
    return (f"images converted: {told}",) if told else ()


def fault(error):
    """What is wrong with an image whose decoding raised this exception, in one line."""
    if isinstance(error, UnidentifiedImageError):  # Pillow's own text tells where in memory the bytes are.
        return "no image of these formats"
    return " ".join((reason(error) or type(error).__name__).split())[:200]


def decode(path, size, background=WHITE, resize="crop"):
    """One image as uint8 [size, size, 3], upright.

    Args:
        path: of the file, a tfrecord.Record, a Member, or a binary file.
        size: pixels.
        background: RGB, what a transparent image is laid on.
        resize: as in `fit`.
    Raises:
        Exception: of any kind that Pillow raises on damaged files; `fault` makes a line of it.
    """
    return _read(path, size, background, resize)[0]


def _read(source, size, background, resize):
    with open_image(_file(source)) as image:
        image.draft("RGB", (size, size))  # Lets the JPEG decoder shrink while it reads.
        rgb, conversion = upright(image, background)
        return fit(rgb, size, resize, background), conversion


def _file(source):
    """What open_image takes of a path, a URL's path, a Record, a Member or a binary file."""
    if isinstance(source, members.INSIDE):
        return source.open()
    return source if hasattr(source, "read") else storage.readable(source)


def open_image(file):
    """The PIL image of a path or a binary file, in one of the formats, its pixels not read yet.

    Raises:
        Image.DecompressionBombError: it has more than BOMB pixels.
        Exception: as in `decode`.
    """
    most = f"{BOMB / 1e6:.0f} megapixels"
    try:
        image = Image.open(
            file, formats=tuple(FORMATS)
        )  # No others: Pillow hands some to other programs (Ghostscript).
    except Image.DecompressionBombError as error:  # From twice as many on.
        raise Image.DecompressionBombError(f"an image of more than {most}") from error
    if image.width * image.height > BOMB:
        image.close()
        raise Image.DecompressionBombError(f"an image of {image.width} x {image.height} pixels, more than {most}")
    return image


def colour(background):
    """RGB, integers in [0, 255], of the text of --background; UsageError where it does not read so."""
    return ImageColor.getrgb(*BACKGROUND.read("background", background))


def is_plain_jpeg(data):
    """Whether encoded bytes are a JPEG that TensorFlow decodes to the same picture: grey or RGB, and upright.

    Reads the header alone: 0.1 ms in a tf.data pipeline, beside 2 ms to decode and cut a photograph.

    Raises:
        Exception: as `open_image`.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    with open_image(io.BytesIO(data)) as image:
        turned = "exif" in image.info and image.getexif().get(ORIENTATION, 1) != 1
        return image.mode in ("L", "RGB") and not turned


def whole(data, background=WHITE):
    """The image of encoded bytes at its full size, uint8 [H, W, 3], upright; raises as `decode` does."""
    with open_image(io.BytesIO(data)) as image:
        return np.asarray(upright(image, background)[0])


def upright(image, background=WHITE):
    """Read an image that `open_image` gave.

    Args:
        image: PIL image of any mode.
        background: RGB, what transparent pixels are laid on.
    Returns:
        (PIL image of mode RGB, turned as its EXIF data say; what it went through, a key of CONVERSIONS or "").
    Raises:
        ValueError: values of 32 bits, whose range nobody says, or colours of 16 bits that come out black.
        Exception: as in `decode`.
    """
    values = sixteen_bit.colours(image) if sixteen_bit.has_colours(image) else None
    image.load()
    conversion = "animated" if getattr(image, "is_animated", False) else "cmyk" if image.mode == "CMYK" else ""
    turn = image.getexif().get(ORIENTATION, 1)
    if values is None and image.mode[0] in "IF":
        values = sixteen_bit.grey(image)
    if values is not None:
        image, bits = sixteen_bit.to_eight(values, image.info.get("transparency"))
        conversion = conversion or bits
    elif image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes every CMYK JPEG for one of Adobe's, which are inverted.
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if not image.getchannel("A").getextrema()[1]:
            conversion = "clear"
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    if turn != 1:
        image.getexif()[ORIENTATION] = turn
        image = ImageOps.exif_transpose(image)
    return image, conversion


def fit(image, size, resize="crop", background=WHITE):
    """An RGB image as uint8 [size, size, 3], resized bilinearly.

    Args:
        image: PIL image of mode RGB.
        size: pixels.
        resize: "crop": the shorter side becomes `size` and the middle is cut out; "pad": the longer side does and the
            image is laid in the middle of a square of the background; "stretch": both do, whatever the shape was.
        background: RGB.
    """
    if image.size != (size, size):
        image = RESIZED[resize](image, (size, size), background)
    return np.asarray(image)
