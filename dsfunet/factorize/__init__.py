"""Split planes into form factor and short-range order: one plane, many planes, or files as they arrive."""
