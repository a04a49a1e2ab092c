"""What every part of the program stands on: errors, files, versions, a quiet start."""
