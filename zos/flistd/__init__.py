"""flistd: mounts flists, read-only or under a writable layer, and keeps them mounted."""
