"""Training speed, beside transformers' Trainer."""
