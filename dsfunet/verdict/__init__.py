"""Whether the two components explain a plane, and the evidence against them."""
