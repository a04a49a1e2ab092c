"""A method as one .keras file goes on as if it had not been closed."""

import keras
import numpy as np
import pytest

from mpl_tf.settings.catalogue import METHODS
from tests import tiny

pytestmark = pytest.mark.usefixtures("plain_graphs")
# Two optimizers and a memory of the steps; a memory of the examples; a network that the method makes itself.
NAMES = ("mpl", "flexmatch", "reduced_mpl")


@pytest.mark.parametrize("name", NAMES)
def test_model_checkpoint_writes_the_whole_method_and_it_goes_on_from_there(name, tmp_path):
    batches, path = tiny.repeated(tiny.batch()), tmp_path / "method.keras"
    balanced = {"balance_weight": 0.1} if "balance_weight" in METHODS[name].options else {}
    method = tiny.make(name, ema_decay=0.9, norm=True, compiled={"weight_decay": 0.01}, **balanced)
    keep = keras.callbacks.ModelCheckpoint(path, monitor="val_accuracy")
    x, y = tiny.batch()["x_l"], tiny.batch()["y_l"]
    method.fit(batches, steps_per_epoch=2, verbose=0, validation_data=(x, y), callbacks=[keep])
    opened = keras.models.load_model(path)
    for part, variables in method.state().items():
        for own, new in zip(variables, opened.state()[part], strict=True):
            np.testing.assert_array_equal(own, new, err_msg=part)
    ends = [tiny.run(one, batches, 2)[1] for one in (method, opened)]
    np.testing.assert_array_equal(*ends)
    np.testing.assert_array_equal(*(one.predict(x, verbose=0) for one in (method, opened)))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_made_again_from_its_config(name):
    method = tiny.make(name)
    again = type(method).from_config(method.get_config())
    again.compile_from_config(method.get_compile_config())
    assert {key: [v.shape for v in part] for key, part in method.state().items()} == {
        key: [v.shape for v in part] for key, part in again.state().items()
    }
    assert again.get_config() == method.get_config()
    assert again.compiled_with == method.compiled_with
