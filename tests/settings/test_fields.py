"""Flags as fields: what one may hold, those taken over from another class, topics, and what is made of them."""

import dataclasses
import math

import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import fields
from mpl_tf.settings.config import Config


class Pair:
    """The form of a text, "A:B"."""

    words = "A:B, as in salt:pepper"

    def read(self, name, text):
        if text.count(":") != 1:
            raise UsageError(f"--{name}: expected {self.words}, got {text}")


@dataclasses.dataclass(frozen=True)
class Kitchen:
    """Flags of a program that is none."""

    dish: str = fields.flag("what is cooked", choices=("soup", "stew", "salad"), topic="What")
    guests: int = fields.flag("who come", 4, low=1, unit="persons")
    salt: float = fields.flag("how much", 0.5, low=0, high=1, topic="How", source="grandmother: 0.7")
    heat: float = fields.flag("of the stove", 1.0)
    spices: tuple = fields.flag("given many times", ())
    cruet: str = fields.flag("on the table", "", form=Pair())


@dataclasses.dataclass(frozen=True)
class Table:
    """Flags of another program, two of them those of the first."""

    guests: int = fields.like(Kitchen, "guests", 2)
    salt: float = fields.like(Kitchen, "salt", 0.1, high=0.2)
    chairs: int = fields.flag("to sit on", 8, high=12)


def test_values_of_earlier_versions_are_todays():
    """--remat was true or false, in a config.json as in a flagfile."""
    known = fields.merged(Config)
    for former, today in ((True, "layer"), (False, "none"), ("true", "layer"), ("block", "block")):
        assert fields.renewed(known, {"remat": former, "other": True}) == {"remat": today, "other": True}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("dish", "stow", "--dish: expected one of soup, stew, salad, got 'stow'; did you mean stew?"),
        ("dish", "fish & chips", "--dish: expected one of soup, stew, salad, got 'fish & chips'"),
        ("guests", 0, "--guests: expected at least 1, got 0"),
        ("salt", 1.01, "--salt: expected 0 to 1, got 1.01"),
        ("salt", -0.01, "--salt: expected 0 to 1, got -0.01"),
        ("salt", math.nan, "--salt: expected 0 to 1, got nan"),
        ("heat", math.inf, "--heat: expected a finite number, got inf"),
        ("chairs", 13, "--chairs: expected at most 12, got 13"),
        ("cruet", "oil", "--cruet: expected A:B, as in salt:pepper, got oil"),
    ],
)
def test_a_value_outside_is_refused_with_what_was_expected(name, value, told):
    field = fields.merged(Kitchen, Table)[name]
    with pytest.raises(UsageError) as caught:
        fields.check(field, value)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("name", "value"), [("guests", 1), ("salt", 0), ("salt", 1), ("heat", -5.0), ("chairs", 12), ("cruet", "")]
)
def test_bounds_belong_to_the_range_and_a_text_may_be_empty(name, value):
    fields.check(fields.merged(Kitchen, Table)[name], value)


def test_a_flag_of_another_class_has_its_help_and_range_but_a_default_of_its_own():
    guests, salt = (fields.merged(Table)[name] for name in ("guests", "salt"))
    assert (guests.default, guests.metadata["help"], fields.expected(guests)) == (2, "who come", "at least 1")
    assert (salt.default, salt.metadata["help"], fields.expected(salt)) == (0.1, "how much", "0 to 0.2")
    assert salt.metadata["source"] == salt.metadata["topic"] == ""
    mu = dataclasses.make_dataclass("Own", [("mu", int, fields.like(Config, "mu", 8))])
    assert fields.merged(mu)["mu"].metadata["help"] == Config.__dataclass_fields__["mu"].metadata["help"]


def test_topics_hold_from_the_field_that_names_one_and_a_flag_stands_once():
    found = {topic: [field.name for field in members] for topic, members in fields.topics(Kitchen, Table).items()}
    expected = {"What": ["dish", "guests"], "How": ["salt", "heat", "spices", "cruet"], fields.GENERAL: ["chairs"]}
    assert found == expected and list(found) == list(expected)


def test_one_flag_of_two_types_is_no_flag():
    other = dataclasses.make_dataclass("Other", [("guests", str, fields.flag("names", ""))])
    with pytest.raises(TypeError, match="guests"):
        fields.merged(Kitchen, other)


def test_an_instance_has_what_is_given_over_the_defaults():
    made = fields.make(Kitchen, {"dish": "soup", "salt": 0.25, "chairs": 3})
    assert made == Kitchen("soup", 4, 0.25, 1.0, ())


def test_what_must_be_given_is_asked_for():
    with pytest.raises(UsageError, match=r"^--dish: expected what is cooked, got nothing; see --help$"):
        fields.make(Kitchen, {"guests": 3})


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(UsageError) as caught:
        fields.make(Kitchen, {"dish": "", "guests": 0, "salt": 2.0})
    told = (
        "--dish: expected what is cooked",
        "--guests: expected at least 1, got 0",
        "--salt: expected 0 to 1, got 2.0",
    )
    assert str(caught.value).startswith("3 problems: ")
    assert all(one in str(caught.value) for one in told)


def test_what_is_given_is_checked():
    with pytest.raises(UsageError, match=r"^--guests: expected at least 1, got 0$"):
        fields.make(Kitchen, {"dish": "soup", "guests": 0})
