"""Whether the two components explain a plane, and what speaks against them."""
