"""Forms of flags: their parts, and one line for a text that does not read so."""

import pytest

from mpl_tf.base.errors import UsageError
from mpl_tf.settings import flags
from mpl_tf.settings.forms import MESH, Form


def test_the_parts_of_a_text():
    assert MESH.read("mesh", "replica:128,core:16") == ("128", "16")
    assert Form("NAME", r"\w+").read("name", "all") == ()


@pytest.mark.parametrize(("text", "got"), [("", "nothing"), ("replica:2,core:2 ", "replica:2,core:2 ")])
def test_a_text_of_another_form_is_refused_with_an_example(text, got):
    with pytest.raises(UsageError) as told:
        MESH.read("mesh", text)
    assert str(told.value) == f"--mesh: expected replica:R,core:S, as in replica:2,core:4, got {got}"


def test_the_form_of_a_flag_is_checked_while_the_command_line_is_read():
    with pytest.raises(UsageError, match="^--mesh: expected replica:R,core:S, as in replica:2,core:4, got 2x2$"):
        flags.parse(["--dataset=digits_50", "--strategy=dtensor", "--mesh=2x2"])
