"""What a user asks for: the catalogue of choices, the flags, and the configuration made of them. No TensorFlow."""
