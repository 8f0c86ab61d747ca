"""What workload types are made of: the base class of a type, and a module of steps for each daemon."""
