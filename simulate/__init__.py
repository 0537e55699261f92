"""The workshop that makes planes: species and correlations -> plane -> shard. Run it with `python -m simulate`."""
