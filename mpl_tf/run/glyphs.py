"""Class names in pictures: fonts that have their characters, or numbers where no installed font has."""

import os
import unicodedata
from typing import NamedTuple

LONGEST = 32  # Characters of a label.


class Labels(NamedTuple):
    """How classes are named in a picture.

    Attributes:
        texts: list of str, one a class.
        fonts: list of names of fonts, matplotlib's own first; each character is drawn by the first that has it.
        note: what the numbers among the texts are; empty where there are none.
    """

    texts: list
    fonts: list
    note: str


def labels(names):
    """The labels of classes.

    A name of which no font has a character becomes its number, from 0, and what can be drawn of it.

    Args:
        names: of the classes.
    Returns:
        Labels.
    """
    readable = [_readable(name) for name in names]
    wanted = {character for name in readable for character in name}
    fonts, drawn = _fonts(wanted)
    texts = []
    for number, name in enumerate(readable):
        shown = "".join(character for character in name if character in drawn)
        texts.append(name if shown == name else f"{number} {shown.strip()}".strip())
    numbered = any(text != name for text, name in zip(texts, readable, strict=True))
    note = "numbers: classes in the order of class_names in results.json, from 0" if numbered else ""
    return Labels(texts, fonts, note)


def _readable(name):
    """A name as text: bytes that are none escaped, without what has no picture of its own, and not too long."""
    text = unicodedata.normalize("NFC", os.fsencode(name).decode(errors="backslashreplace"))
    text = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
    text = "".join(character for character in text if unicodedata.category(character) not in ("Cf", "Mn"))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _fonts(wanted):
    """(names of fonts, characters that they have), matplotlib's own and as many others as add to the wanted ones."""
    from matplotlib import font_manager

    own = font_manager.FontProperties().get_name()
    names, drawn = [own], _characters(font_manager.findfont(own))
    others = sorted(font_manager.fontManager.ttflist, key=lambda font: (font.weight != 400, font.style, font.name))
    for font in others if wanted - drawn else ():
        if font.name.startswith("Last Resort"):  # A box for every character there is.
            continue
        more = _characters(font.fname) & wanted - drawn
        if more:
            names.append(font.name)
            drawn |= more
        if not wanted - drawn:
            break
    return names, drawn


def _characters(path):
    """The characters of a font file that matplotlib can draw; an empty set where it cannot open it."""
    from matplotlib import ft2font

    try:
        font = ft2font.FT2Font(path)
    except (OSError, RuntimeError):
        return set()
    return {chr(code) for code in font.get_charmap()} if font.scalable else set()
