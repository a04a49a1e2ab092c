"""Class names in pictures: drawn where a font has them, else numbered, and never a box or a warning."""

import unicodedata
import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from mpl_tf.run import evaluate, glyphs

CAT, PICTOGRAPH = "\N{CJK UNIFIED IDEOGRAPH-732B}", "\N{CAT}"


@pytest.fixture
def fonts(monkeypatch, tmp_path):
    """A function that installs fonts of these characters, each a square, beside matplotlib's own and no others."""

    def install(*installed):
        own = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
        entries = []
        for name, characters in installed:
            pen = TTGlyphPen(None)
            for number, corner in enumerate(((0, 0), (0, 700), (700, 700), (700, 0))):
                (pen.lineTo if number else pen.moveTo)(corner)
            pen.closePath()
            square = pen.glyph()
            names = [".notdef", *(f"g{number}" for number in range(len(characters)))]
            builder = FontBuilder(1000, isTTF=True)
            builder.setupGlyphOrder(names)
            builder.setupCharacterMap({ord(one): f"g{number}" for number, one in enumerate(characters)})
            builder.setupGlyf(dict.fromkeys(names, square))
            builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
            builder.setupHorizontalHeader(ascent=800, descent=-200)
            builder.setupNameTable({"familyName": name, "styleName": "Regular"})
            builder.setupOS2()
            builder.setupPost()
            path = tmp_path / f"{name}.ttf"
            builder.save(path)
            entries.append(font_manager.FontEntry(fname=str(path), name=name, weight=400))
        monkeypatch.setattr(font_manager.fontManager, "ttflist", own + entries)

    return install


def test_names_that_the_own_font_has_stay_as_they_are(fonts):
    fonts()
    names = ("cat", "Größe ß", "кот", "US$ and C$", "a_b^c")
    assert glyphs.labels(names) == (list(names), ["DejaVu Sans"], "")


def test_a_font_that_is_installed_is_taken_and_the_smallest_number_of_them(fonts):
    fonts(("Useless", "xyz"), ("Cats", CAT), ("Other Cats", CAT))
    assert glyphs.labels(["dog", CAT]) == (["dog", CAT], ["DejaVu Sans", "Cats"], "")


def test_without_a_font_a_number_stands_for_the_name(fonts):
    fonts(("Last Resort High-Efficiency", CAT + PICTOGRAPH))  # It has a box for each.
    labels = glyphs.labels(["dog", CAT, f"кот {PICTOGRAPH}"])
    assert labels.texts == ["dog", "1", "2 кот"] and labels.fonts == ["DejaVu Sans"]
    assert labels.note == "numbers: classes in the order of class_names in results.json, from 0"


def test_what_has_no_picture_of_its_own(fonts):
    fonts()
    decomposed = unicodedata.normalize("NFD", "é")  # As macOS names its files.
    names = [decomposed, "a\nb", "caf\udce9", "x" * 60, "a\N{ZERO WIDTH JOINER}b\N{VARIATION SELECTOR-16}"]
    assert glyphs.labels(names).texts == ["é", "a b", r"caf\xe9", "x" * 31 + "…", "ab"]


def test_the_picture_is_drawn_without_a_warning(fonts, tmp_path):
    fonts(("Cats", CAT))
    names = [CAT, f"кот {PICTOGRAPH}", "Größe ß", "US$ and C$", "caf\udce9"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib's "Glyph 29483 missing from font".
        evaluate.draw_confusion(np.eye(5, dtype=int), names, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (450, 450)
        assert np.unique(np.asarray(picture.convert("L"))).size > 20
