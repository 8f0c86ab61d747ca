"""provisiond: admits deployments, orders them, makes them so, keeps their results and history."""
