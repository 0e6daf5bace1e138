"""The `petra` command, one file per subcommand."""
