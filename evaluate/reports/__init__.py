"""Reports, tables, pictures and model cards from an evaluation."""
