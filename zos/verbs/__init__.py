"""What primitives compose: steps (one call on one door each), the `Primitive` they are, and the runner."""
