"""One encoded image: decoded, fingerprinted and made fit for the model; whatever is wrong with it is told, not raised.

Pixels are those of training's decoder (data/decode.py), so that an image is scored as it will be trained on. PIL
decodes them: on 32 x 32 JPEGs 51 us of processor time an image, with TensorFlow's decoder in tf.data 50.
"""

import dataclasses
import hashlib
import io
import itertools

import numpy as np
from PIL import Image
from scipy import fftpack

from mpl_tf.data import decode as decoding
from mpl_tf.data import sixteen_bit
from mpl_tf.filtering import forms, smooth

HASH_SIDE = 16  # 256 bits: 64 do not tell slight crops of 32 x 32 photographs from other photographs.
HASH_BYTES = HASH_SIDE**2 // 8
CROP = 1 / 32  # Of the side: what "slightly cropped" means. An evaluation image is hashed with and without each margin.
PLAIN = ("JPEG", "PNG")  # Formats that every TensorFlow decoder reads.


@dataclasses.dataclass
class Decoded:
    """What becomes of an image.

    Attributes:
        pixels: uint8 [S, S, 3]; None where it cannot be used, or no size was asked for.
        looks: uint8 [F, side, side, 3], its forms as an embedder takes them; None where no side was asked for.
        sha256: of the decoded pixels at full size, with that size, 32 bytes; None without fingerprints.
        hashes: perceptual hashes, HASH_BYTES bytes each; the first is of the whole image, the second, of an evaluation
            image, of its mirror image. Of a plain image, whose hash would be that of all others, its sha256; of an
            evaluation image none.
        smooth: the pixels of smooth.py, where it has little texture and fingerprints; else None.
        problem: empty, or why it cannot be used: empty_file, too_large, truncated, unreadable; or that it was
            converted, a key of data/decode.py's CONVERSIONS: cmyk, sixteen_bit, twelve_bit, few_bits, animated,
            clear.
        detail: what the decoder said.
    """

    pixels: np.ndarray | None = None
    looks: np.ndarray | None = None
    sha256: bytes | None = None
    hashes: tuple = ()
    smooth: bytes | None = None
    problem: str = ""
    detail: str = ""
    usable: bool = True


def decode_all(encoded, size, fingerprints, evaluated=False, background=decoding.WHITE, resize="crop", side=0):
    """Decode images.

    Args:
        encoded: list of the bytes of a file each, or of the Decoded that stands for one that could not be read.
        size: side of the model's input, pixels; 0: no pixels.
        fingerprints: whether to make sha256 and hashes.
        evaluated: whether to hash each slight crop and all mirror images too, as for evaluation images.
        background: RGB, what transparent images are laid on.
        resize: as in data/decode.py's fit.
        side: of an embedder's input, pixels; 0: no `looks`.
    Returns:
        list of Decoded.
    """
    opened = [(data, None) if isinstance(data, Decoded) else decode(data, background) for data in encoded]
    found = []
    for result, upright in opened:
        if upright and size:
            result.pixels = decoding.fit(upright, size, resize, background)
        if upright and side:
            result.looks = forms.looks(upright, side, evaluated, resize, background)
        if upright and fingerprints:
            whole = result.pixels if upright.size == (size, size) else np.asarray(upright)
            result.sha256 = hashlib.sha256(b"%d %d " % upright.size + whole.data).digest()
            found.append((result, _crops(upright) if evaluated else [upright]))
    low = coefficients([image for _, images in found for image in images])
    hashes = iter(hashes_of(low, mirrored=evaluated))
    # The texture of the whole image counts, whose crops are as smooth.
    whole = np.cumsum([0, *(len(images) for _, images in found)])[:-1]
    for (result, images), texture in zip(found, smooth.texture(low[whole], 2 * HASH_SIDE), strict=True):
        result.hashes = tuple(itertools.islice(hashes, len(images) * (1 + evaluated)))
        _note(result, images[0], texture, evaluated)
    return [result for result, _ in opened]


def decode(data, background=decoding.WHITE):
    """Decode an image.

    Args:
        data: bytes of the file.
        background: RGB, what a transparent image is laid on.
    Returns:
        (Decoded, the image as PIL has it, RGB and upright, or None).
    """
    if not data:
        return refused("empty_file", "0 bytes"), None
    try:
        with decoding.open_image(io.BytesIO(data)) as image:
            upright, problem = decoding.upright(image, background)
    except Image.DecompressionBombError as error:
        return refused("too_large", str(error)), None
    except Exception as error:  # Damaged files raise whatever a plugin stumbles over: struct.error, IndexError, ...
        problem = "truncated" if "truncated" in str(error).lower() else "unreadable"
        return refused(problem, decoding.fault(error)), None
    return Decoded(problem=problem), upright


def refused(problem, detail):
    """Decoded of an image that cannot be used."""
    return Decoded(problem=problem, detail=" ".join(detail.split())[:200], usable=False)


def _note(result, image, texture, evaluated):
    """Note what a Decoded is compared by instead of, or beside, its hashes where its image has little texture."""
    if texture < smooth.SMOOTH:
        result.smooth = smooth.pixels(image)
    if texture < smooth.BLANK:
        result.hashes = () if evaluated else (result.sha256,)


def perceptual_hashes(images, mirrored=False):
    """DCT hashes of PIL images, bit for bit those of ImageHash's phash(image, HASH_SIDE, 2), each HASH_BYTES bytes.

    The library takes one image at a time: on 32 x 32 pixels 80 us of processor time each, of many at once 20.

    Args:
        images: list of N.
        mirrored: as in `hashes_of`.
    Returns:
        list of N, or 2 N, bytes.
    """
    return hashes_of(coefficients(images), mirrored)


def coefficients(images):
    """The lowest coefficients of the cosine transform of N PIL images: float64 [N, HASH_SIDE, HASH_SIDE]."""
    if not images:
        return np.zeros([0, HASH_SIDE, HASH_SIDE])
    side = 2 * HASH_SIDE
    pixels = np.stack([image.convert("L").resize((side, side), Image.Resampling.LANCZOS) for image in images])
    columns = fftpack.dct(pixels, axis=1)[:, :HASH_SIDE]
    return fftpack.dct(columns, axis=2)[:, :, :HASH_SIDE]


def hashes_of(low, mirrored):
    """Hashes of what `coefficients` gives: list of bytes.

    Args:
        low: float64 [N, HASH_SIDE, HASH_SIDE].
        mirrored: whether the hash of each one's mirror image (left for right, as training flips it) follows its own.
            It takes no second resizing: mirroring turns the sign of every odd column of the transform.
    """
    if mirrored:
        low = np.stack([low, low * (-1.0) ** np.arange(HASH_SIDE)], axis=1)
    low = low.reshape(-1, HASH_SIDE**2)
    bits = low > np.median(low, axis=1, keepdims=True)
    return [row.tobytes() for row in np.packbits(bits, axis=1)]


def storable(data, background=decoding.WHITE):
    """The image as bytes that TensorFlow's decoders read upright: as they are where that holds, else a PNG of them.

    Args:
        data: bytes of an image that `decode` can use.
        background: RGB, what a transparent image is laid on.
    """
    with decoding.open_image(io.BytesIO(data)) as image:
        plain = image.format in PLAIN and image.mode in ("L", "RGB") and not sixteen_bit.has_colours(image)
        turned = image.getexif().get(decoding.ORIENTATION, 1) != 1
        if plain and not (turned or image.has_transparency_data or getattr(image, "is_animated", False)):
            return data
        upright, _ = decoding.upright(image, background)
    output = io.BytesIO()
    upright.save(output, "PNG")
    return output.getvalue()


def _crops(image):
    """The image, and the image without CROP of its side at each choice of left, top, right and bottom: 16 of them."""
    margin_x, margin_y = (max(round(CROP * side), 1) for side in image.size)
    if min(image.size) <= 2 * max(margin_x, margin_y):
        return [image]
    return [
        image.crop((left, top, image.width - right, image.height - bottom))
        for left in (0, margin_x)
        for top in (0, margin_y)
        for right in (0, margin_x)
        for bottom in (0, margin_y)
    ]
