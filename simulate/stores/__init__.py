"""Stores of simulated planes: write them in whole shards, forecast their cost, check them and show their planes."""
