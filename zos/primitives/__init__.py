"""One folder per workload type, each with `PRIMITIVE`; nothing else is edited to add one."""
