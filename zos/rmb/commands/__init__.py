"""The node's public commands: one module per noun, each with its `COMMANDS`."""
