"""An image file to pixels, the same for training, prediction and filtering."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

from mpl_tf.base.errors import RunError
from mpl_tf.data import shards

ORIENTATION = 0x0112  # EXIF tag; 1: upright.


def decode_files(paths, size, skip_bad):
    """Decode and resize many files.

    Args:
        paths: list of paths or shards.Records.
        size: side of the square images, pixels.
        skip_bad: leave an unreadable image black and mark it instead of raising.
    Returns:
        (images, good): uint8 [N, size, size, 3] and bool [N], False where a file could not be read.
    Raises:
        RunError: naming the first file that could not be read, unless `skip_bad`.
    """
    images = np.zeros([len(paths), size, size, 3], np.uint8)
    good = np.ones([len(paths)], bool)

    def read(index):
        try:
            images[index] = decode(paths[index], size)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            if not skip_bad:
                raise RunError(
                    f"{paths[index]}: expected a readable JPEG or PNG image, got {error}; "
                    "mend or remove it, or give --skip_bad_images"
                ) from error
            good[index] = False

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(read, range(len(paths))):
            pass
    return images, good


def decode(path, size):
    """One image as uint8 [size, size, 3]: shorter side resized to `size`, middle cut out, EXIF turn applied.

    Args:
        path: of the file, or a shards.Record.
        size: pixels.
    """
    with Image.open(path.open() if isinstance(path, shards.Record) else path) as image:
        image.draft("RGB", (size, size))  # Lets the JPEG decoder shrink while it reads.
        return fit(upright(image), size)


def upright(image):
    """A PIL image of any mode as RGB, loaded, and turned as its EXIF data says."""
    image.load()
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):  # Pillow's own conversion cuts off at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def fit(image, size):
    """An RGB image as uint8 [size, size, 3]: shorter side resized to `size`, middle cut out."""
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)
