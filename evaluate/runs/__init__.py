"""An evaluation run: planned, split into units of work, resumed and summed up."""
