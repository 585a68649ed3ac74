"""Data, training and evaluation: from source packages to a checkpoint that `model/` loads."""
