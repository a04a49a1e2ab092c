"""What was made is kept while it is asked for, and only then."""

from mpl_tf.base import kept


def test_what_was_made_is_kept_while_between_runs_lasts():
    made = []

    def make():
        made.append(len(made))
        return [made[-1]]

    assert kept.once("a", make) == [0]
    assert kept.once("a", make) == [1]
    with kept.between_runs():
        first = kept.once("a", make)
        assert kept.once("a", make) is first
        assert kept.once("b", make) == [3]
    assert kept.once("a", make) == [4]
