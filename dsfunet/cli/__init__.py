"""The `dsfunet` command: one module a command."""
