"""Evaluation of a factorizer on simulated planes whose components are known: `python -m evaluate`."""
