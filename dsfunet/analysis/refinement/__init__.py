"""Warren-Cowley parameters, refined from one result or from several planes of a crystal."""
