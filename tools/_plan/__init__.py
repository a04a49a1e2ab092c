"""What tools/plan.py is made of: the estimates."""
