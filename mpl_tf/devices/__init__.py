"""Where a step runs: tf.distribute's strategies, meshes of DTensor, and the machines of a cluster."""
