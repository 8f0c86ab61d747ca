"""The words that everything above shares: names, sizes, deployments, their hash and signatures. Pure, no I/O."""
