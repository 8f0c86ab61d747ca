"""The user's command line: `zos ...`."""
