"""What tools/ablation.py is made of: studies, statistics, tables and figures."""
