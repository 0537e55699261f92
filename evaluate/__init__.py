"""Judges a factorizer on simulated planes whose truth is known: `python -m evaluate`."""
