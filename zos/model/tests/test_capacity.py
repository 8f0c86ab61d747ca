"""What a node has, and what it keeps for itself."""

from zos.model.capacity import reserved_memory
from zos.model.units import GiB


def test_a_tenth_of_memory_is_reserved_and_at_least_two_gigabytes() -> None:
    assert reserved_memory(GiB(64)) == GiB(64) // 10
    assert reserved_memory(GiB(4)) == GiB(2)
    assert reserved_memory(GiB(1)) == GiB(1)
