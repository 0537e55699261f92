"""Stores of simulated planes: written in whole shards, checked, forecast and drawn."""
