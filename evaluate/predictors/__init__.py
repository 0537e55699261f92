"""Predictors: the networks and the classical methods behind one interface."""
