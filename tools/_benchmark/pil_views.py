"""The strong view by PIL, one image at a time, as PyTorch ports make it: what tools/benchmark.py compares ours with."""

import dataclasses
import random

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

FILL = (128, 128, 128)


@dataclasses.dataclass
class Policy:
    """RandAugment, cutout, flip and shift of one uint8 [H, W, 3] array; arguments as in data.augment.strong_view."""

    num_ops: int
    magnitude: float
    cutout: float
    flip: bool
    shift: int

    def __call__(self, array):
        image = Image.fromarray(array)
        chance = random.uniform(0.2, 0.8)
        for _ in range(self.num_ops):
            operation = random.choice(list(OPERATIONS.values()))
            if random.random() < chance:
                image = operation(image, self.magnitude, random.choice((-1, 1)))
        width, height = image.size
        half = int(self.cutout * min(width, height)) // 2
        _paste_square(image, half)
        if self.flip and random.random() < 0.5:
            image = ImageOps.mirror(image)
        padded = ImageOps.expand(image, self.shift, FILL)
        left, top = random.randint(0, 2 * self.shift), random.randint(0, 2 * self.shift)
        return np.asarray(padded.crop((left, top, left + width, top + height)))


def _paste_square(image, half):
    x, y = random.randrange(image.width), random.randrange(image.height)
    image.paste(FILL, (max(x - half, 0), max(y - half, 0), min(x + half, image.width), min(y + half, image.height)))
    return image


def _affine(image, matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=FILL)


def _factor(magnitude):
    return 0.1 + 1.8 * magnitude / 10


OPERATIONS = {
    "AutoContrast": lambda image, m, sign: ImageOps.autocontrast(image),
    "Equalize": lambda image, m, sign: ImageOps.equalize(image),
    "Invert": lambda image, m, sign: ImageOps.invert(image),
    "Rotate": lambda image, m, sign: image.rotate(sign * 3 * m, fillcolor=FILL),
    "Posterize": lambda image, m, sign: ImageOps.posterize(image, min(max(int(0.4 * m), 1), 8)),
    "Solarize": lambda image, m, sign: ImageOps.solarize(image, min(int(25.6 * m), 256)),
    "Color": lambda image, m, sign: ImageEnhance.Color(image).enhance(_factor(m)),
    "Contrast": lambda image, m, sign: ImageEnhance.Contrast(image).enhance(_factor(m)),
    "Brightness": lambda image, m, sign: ImageEnhance.Brightness(image).enhance(_factor(m)),
    "Sharpness": lambda image, m, sign: ImageEnhance.Sharpness(image).enhance(_factor(m)),
    "ShearX": lambda image, m, sign: _affine(image, (1, sign * 0.03 * m, 0, 0, 1, 0)),
    "ShearY": lambda image, m, sign: _affine(image, (1, 0, 0, sign * 0.03 * m, 1, 0)),
    "TranslateX": lambda image, m, sign: _affine(image, (1, 0, sign * image.width / 80 * m, 0, 1, 0)),
    "TranslateY": lambda image, m, sign: _affine(image, (1, 0, 0, 0, 1, sign * image.height / 80 * m)),
    "Cutout": lambda image, m, sign: _paste_square(image.copy(), int(min(image.size) / 80 * m)),
}
