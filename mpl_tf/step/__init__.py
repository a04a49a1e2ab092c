"""What the methods' steps are made of: networks as functions, losses, feedback, the optimizer's rule."""
