"""One file per command, parser and action side by side; found by looking."""
