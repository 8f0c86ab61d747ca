"""What a client of the grid decides and remembers: the user's file as deployments, networks over nodes, records."""
