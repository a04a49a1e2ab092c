"""--freeze=batch_norm: the batch norms of networks that start from weights stay as they were, all else learns.

Covers: __init__.py
"""

import keras
import numpy as np
import pytest

from mpl_tf import methods, models
from mpl_tf.base.errors import UsageError
from tests import tiny
from tests.models.test_imagenet_networks import unlike

pytestmark = pytest.mark.usefixtures("plain_graphs")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A network with statistics that are not those of new ones, in a file."""
    network = unlike(models.build("narrow_cnn", (8, 8, 3), tiny.CLASSES), 0)
    path = tmp_path_factory.mktemp("pretrained") / "net.keras"
    network.save(path)
    return path


def norms(network):
    """The numbers of all its batch norms."""
    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert layers
    return np.concatenate([value.ravel() for layer in layers for value in layer.get_weights()])


def others(network):
    """All its other numbers."""
    layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.BatchNormalization)]
    return np.concatenate([value.ravel() for layer in layers for value in layer.get_weights()])


def test_norms_keep_all_their_numbers_and_the_rest_learns_as_in_inference(make_config, pretrained):
    config = make_config(method="mpl", feedback="exact", model="narrow_cnn", weights=pretrained, freeze="batch_norm")
    method = methods.make(config.replace(ema_decay=0.9, dropout=0.0), (8, 8, 3), tiny.CLASSES)
    networks = [method.teacher.network, method.student.network, method.averaged]
    before = [(norms(network), others(network)) for network in networks]
    # A training pass takes the moving statistics: it is the pass of inference.
    batch = tiny.images()
    (z,), state = method.student.forward(method.student.weights(), [batch["x_l"]])
    np.testing.assert_allclose(z, method.student.network(batch["x_l"], training=False), rtol=1e-5, atol=1e-5)
    tiny.run(method, tiny.repeated(batch), 2)
    for network, (norm, other) in zip(networks, before, strict=True):
        np.testing.assert_array_equal(norms(network), norm)
        assert np.abs(others(network) - other).max() > 1e-6
        assert len(network.trainable_variables) == 4 + 2  # Four kernels and the classifier; no gamma, no beta.
    finetuned = methods.make_finetune(method.deployed(), config)
    tiny.run(finetuned, tiny.repeated(batch), 1)
    np.testing.assert_array_equal(norms(method.averaged), before[2][0])


@pytest.mark.slow
def test_frozen_norms_share_nothing_so_that_replicas_may_accumulate(make_config, pretrained, two_replicas):
    options = {"method": "supervised", "model": "narrow_cnn", "weights": pretrained, "freeze": "batch_norm"}
    options |= {"dropout": 0, "learning_rate_batch": 0, "teacher_learning_rate": 0.01, "teacher_warmup_steps": 0}
    batch = {key: value for key, value in tiny.images().items() if key in ("x_l", "y_l")}
    _, expected = tiny.run(methods.make(make_config(**options), (8, 8, 3), tiny.CLASSES), tiny.repeated(batch), 2)
    with two_replicas.scope():
        method = methods.make(make_config(**options, accumulate=2), (8, 8, 3), tiny.CLASSES)
    data = two_replicas.distribute_datasets_from_function(lambda _: tiny.halves(batch))
    np.testing.assert_allclose(tiny.run(method, data, 2)[1], expected, rtol=1e-4, atol=1e-6)


def test_only_the_networks_that_start_from_weights_are_frozen(make_config, pretrained):
    config = make_config(method="mpl", model="narrow_cnn", teacher_model="small_cnn", weights=pretrained)
    learners = methods.make(config.replace(freeze="batch_norm"), (8, 8, 3), tiny.CLASSES).learners()
    frozen = {
        role: {x.trainable for x in learner.network.layers if isinstance(x, keras.layers.BatchNormalization)}
        for role, learner in learners.items()
    }
    assert frozen == {"teacher": {True}, "student": {False}}


def test_what_has_nothing_to_keep_is_refused(make_config, tmp_path):
    with pytest.raises(UsageError, match="--freeze: batch_norm keeps the statistics of a pretrained network, got no"):
        make_config(freeze="batch_norm")
    with pytest.raises(UsageError, match="--backbone_rate: --freeze=backbone trains the classifier alone"):
        make_config(freeze="backbone", backbone_rate=0.5, pretrained="imagenet", model="resnet_50", backbone_size=32)
    with pytest.raises(UsageError, match="--head_units: goes with --freeze=backbone, got --freeze=batch_norm"):
        make_config(freeze="batch_norm", pretrained="imagenet", model="resnet_50", head_units=3)
    path = tmp_path / "mlp.keras"
    models.build("mlp", (2,), 2).save(path)
    config = make_config("two_moons", weights=path, freeze="batch_norm", model="mlp", method="supervised")
    with pytest.raises(UsageError, match="^--freeze: batch_norm goes with networks that have batch norm, mlp has none"):
        methods.make(config, (2,), 2)
