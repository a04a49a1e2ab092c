"""Meta Pseudo Labels (Pham et al., CVPR 2021) and its relatives on TensorFlow and Keras 3."""

__version__ = "0.1.0"
