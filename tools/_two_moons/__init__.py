"""What tools/two_moons.py is made of: its training and its report."""
