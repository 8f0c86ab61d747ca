"""One file per command: its parser and its action side by side, found by looking."""
