"""storaged: pools out of disks; disks, volumes and the cache on them; nothing is lost without evidence."""
