"""What every daemon stands on: how it starts, its config, ledgers, loops, clock, journal and programs it runs."""
