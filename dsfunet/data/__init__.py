"""Training data: the store of simulated planes, its shards, data sets and the LightningDataModule."""
