"""What all packages above share: names, sizes, deployments, their hashes and signatures. Pure, no I/O."""
