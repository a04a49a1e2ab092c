"""What the program does with a configuration beside what tests/test_main.py and tests/test_api.py see of it."""

import threading

import keras
import matplotlib
import numpy as np
import pytest
import tensorflow as tf

from mpl_tf.run import callbacks, evaluate, modes


def test_the_type_of_numbers_comes_back_after_a_failed_run_too():
    with pytest.raises(ZeroDivisionError), modes._policy_as_before():
        keras.config.set_dtype_policy("mixed_float16")
        raise ZeroDivisionError
    assert keras.config.dtype_policy().name == "float32"


def test_a_picture_leaves_the_notebooks_own_as_they_are(tmp_path):
    before, given = matplotlib.get_backend(), dict(matplotlib.rcParams)
    evaluate.draw_confusion(np.eye(2, dtype=int), ["a", "b"], tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    assert matplotlib.get_backend() == before and dict(matplotlib.rcParams) == given


def test_a_run_in_another_thread_does_not_listen_for_signals():
    class Checkpoints:
        class method:
            class devices:
                hosts = 1

        seconds = tf.Variable(0.0)

    heard = []

    def enter():
        with callbacks.Saver(Checkpoints, None) as saver:
            heard.append(saver.handlers_before)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert heard == [{}]
