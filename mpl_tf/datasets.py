"""mpl_tf.datasets: batches for a method's fit() from tf.data sets of images; see mpl_tf/data/keras_sets.py."""

from mpl_tf.data.keras_sets import from_keras, normalised

__all__ = ["from_keras", "normalised"]
