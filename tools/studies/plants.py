"""What overlap_study.py plants: photographs small and large, and the ways in which copies differ from them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

BILINEAR, LANCZOS = Image.Resampling.BILINEAR, Image.Resampling.LANCZOS
LARGE = (512, 384)
WINDOW = (256, 192)  # Cut out of sample pictures and enlarged twice.
MOST = 9  # Windows of one picture.
# Of scikit-image and scikit-learn: photographs, and pictures through telescopes and microscopes.
PICTURES = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png"),
    *("hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg"),
)
SAMPLES = ("china.jpg", "flower.jpg")


def saved(image, form="PNG", **how):
    """Bytes of a PIL image in a format."""
    output = io.BytesIO()
    image.save(output, form, **({"compress_level": 1} if form == "PNG" else how))
    return output.getvalue()


def _jpeg(quality):
    return lambda image: saved(image, "JPEG", quality=quality)


def _scaled(image, factor):
    return image.resize([max(round(factor * side), 1) for side in image.size], BILINEAR)


def _cropped(image, left, top, right, bottom):
    return image.crop((left, top, image.width - right, image.height - bottom))


def _shifted(image, pixels):
    """Moved right and down; what comes in is the edge's own colour."""
    values = np.pad(np.asarray(image), ((pixels, 0), (pixels, 0), (0, 0)), "edge")
    return Image.fromarray(values[: image.height, : image.width])


def _share(image, share):
    margins = [round(share * side) for side in image.size]
    return _cropped(image, *margins, *margins)


# Name of a change to the function of a PIL image that gives the bytes of the changed one; sizes in pixels.
KINDS = {
    "PNG": saved,
    "JPEG 75": _jpeg(75),
    "JPEG 45": _jpeg(45),
    "JPEG 20": _jpeg(20),
    "half the size and back": lambda image: saved(_scaled(image, 0.5).resize(image.size, BILINEAR)),
    "twice the size": lambda image: saved(_scaled(image, 2)),
    "brightness x 1.1": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.1)),
    "brightness x 1.5": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.5)),
    "grey": lambda image: saved(image.convert("L")),
    "blur of radius 1": lambda image: saved(image.filter(ImageFilter.GaussianBlur(1))),
    "mirror": lambda image: saved(ImageOps.mirror(image)),
    "crop of 1 pixel": lambda image: saved(_cropped(image, 1, 1, 1, 1)),
    "crop of 2 pixels": lambda image: saved(_cropped(image, 2, 2, 2, 2)),
    "crop of 5 %": lambda image: saved(_share(image, 0.05)),
    "shift by 2 pixels": lambda image: saved(_shifted(image, 2)),
    "turn of 5 degrees": lambda image: saved(image.rotate(5, BILINEAR)),
    "border of 4 pixels": lambda image: saved(ImageOps.expand(image, 4, (0, 0, 0))),
    # None of the forms that embedding knows.
    "crop of 8 %": lambda image: saved(_share(image, 0.08)),
    "turn of 3 degrees": lambda image: saved(image.rotate(3, BILINEAR)),
    "white border of 3 pixels": lambda image: saved(ImageOps.expand(image, 3, (255, 255, 255))),
    "brightness x 0.7": lambda image: saved(ImageEnhance.Brightness(image).enhance(0.7)),
}


def enlarged(image, cells=None):
    """A PIL image at 512 x 384; a smooth one with `cells`, of so many soft colours across and down."""
    if cells:
        image = image.resize((cells, cells), Image.Resampling.BOX)
    return image.resize(LARGE, Image.Resampling.BICUBIC)


def large_photographs():
    """Windows of the sample pictures, enlarged to 512 x 384: list of PIL images, RGB, those of a picture together."""
    import skimage
    import sklearn.datasets

    paths = [Path(skimage.data_dir) / name for name in PICTURES]
    paths += [Path(sklearn.datasets.__file__).parent / "images" / name for name in SAMPLES]
    return [window for path in paths for window in _windows(path)]


def _windows(path):
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    across, down = (max(side // step, 1) for side, step in zip(image.size, WINDOW, strict=True))
    places = [(WINDOW[0] * x, WINDOW[1] * y) for y in range(down) for x in range(across)]
    for number in np.linspace(0, len(places) - 1, min(len(places), MOST)).astype(int):
        left, top = places[number]
        yield image.crop((left, top, left + WINDOW[0], top + WINDOW[1])).resize(LARGE, LANCZOS)
