"""What the command line does and prints, besides choosing a command."""
