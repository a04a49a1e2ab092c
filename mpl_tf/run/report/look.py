"""What all pages of this program look like, and small pictures inside them."""

import base64
import io

import numpy as np
from PIL import Image

from mpl_tf.data import decode

SIDE = 72  # Of a small picture, pixels.
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #1b1f24; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #d0d7de; }
table { border-collapse: collapse; } td, th { padding: .15rem .7rem; text-align: right; white-space: nowrap; }
th { border-bottom: 1px solid #8c959f; font-weight: 600; } td:first-child, th:first-child { text-align: left; }
tr:nth-child(even) td { background: #f6f8fa; } img { width: 72px; height: 72px; display: block; }
.row { display: flex; gap: 6px; align-items: flex-start; margin: .3rem 0 .8rem; flex-wrap: wrap; }
figure { margin: 0; width: 72px; } figcaption { font-size: 11px; color: #57606a; overflow-wrap: anywhere; }
.note { color: #57606a; } h3 { font-size: 1rem; margin: .8rem 0 0; }
"""


def thumbnail(image):
    """The middle of an image as the data URI of a small JPEG; one smaller than that keeps its pixels, enlarged.

    Args:
        image: PIL image of mode RGB, or uint8 [H, W, 3].
    """
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    small = max(image.size) < SIDE
    image = Image.fromarray(decode.fit(image, min(image.size) if small else SIDE))
    if small:
        image = image.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return data_uri(image, "JPEG", quality=85)


def data_uri(image, kind, **options):
    """A PIL image as the address of a file that lies in the page itself.

    Args:
        image: PIL image.
        kind: "JPEG" or "PNG".
        options: of Pillow's writer.
    """
    output = io.BytesIO()
    image.save(output, kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(output.getvalue()).decode()
