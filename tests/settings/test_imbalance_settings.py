"""What makes up for classes of different size: what goes with what."""

import pytest

from mpl_tf.base.errors import UsageError


def test_what_goes_with_what(make_config):
    with pytest.raises(UsageError, match="^--class_weights: balanced makes up for .* and so does --balanced_batches;"):
        make_config(class_weights="balanced", balanced_batches=True)
    with pytest.raises(UsageError, match="^--imbalance: goes with --dataset=digits_50, .* got --dataset=svhn_1k; "):
        make_config("svhn_1k", imbalance=20)
    for name, flags in {
        "class_weights": {"class_weights": "balanced"},
        "balanced_batches": {"balanced_batches": True},
    }.items():
        with pytest.raises(UsageError, match=f"^--{name}: imagenet reads its labels while it trains"):
            make_config("imagenet", data_dir="d", **flags)
