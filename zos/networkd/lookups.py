"""The addresses that are looked for behind links: those of guests, in sets of the tables that drop all others. Pure.

The kernel's table of neighbours is one for all namespaces, and each address that is asked for takes a place in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from zos.networkd import nft
from zos.networkd.model import Known
from zos.networkd.steps import KnowAddresses, LoadRules, Step

GUESTS = "zos-guests"
"""The table of the root namespace that says which addresses there are on a segment."""
ON_SEGMENT = "guests"
"""Its set."""


def named(name: str, link: str, version: int) -> tuple[str, str]:
    """A set of the addresses that there are behind a link, and the line that lets nothing else be looked for there.

    The addresses are no part of the table's text: they come and go without it (see `elements`).
    """
    family, kind = ("ip6", "ipv6_addr") if version == 6 else ("ip", "ipv4_addr")
    return (
        f"  set {name} {{\n    type {kind}\n  }}\n",
        f'    oifname "{link}" {family} daddr != @{name} counter drop\n',
    )


def addresses(texts: Iterable[str], version: int = 6) -> frozenset[str]:
    """The addresses of one version among those, which may have a prefix."""
    found = (ip_address(text.partition("/")[0]) for text in texts)
    return frozenset(str(one) for one in found if one.version == version)


def elements(verb: str, table: str, known: Known) -> str:
    """The lines that add elements to sets of addresses, or delete them."""
    return "".join(
        f"{verb} element inet {table} {name} {{ {', '.join(sorted(values))} }}\n"
        for name, values in sorted(known.items())
        if values
    )


def knowing(table: str, new: Known, old: Known) -> str:
    """The transaction that has these addresses looked for, and those no more, should they be there."""
    # What is not there must be added to be deleted.
    return elements("add", table, new) + elements("add", table, old) + elements("delete", table, old)


def segment(link: str) -> str:
    """The table `GUESTS`, which lets nothing be looked for on a segment but the IPv6 addresses in its set."""
    set_, line = named(ON_SEGMENT, link, 6)
    chain = f"  chain forward {{\n    type filter hook forward priority filter - 1; policy accept;\n{line}  }}\n"
    return nft.table(set_ + chain, name=GUESTS)


def load(
    where: str,
    desired: str,
    known: Known,
    observed: str,
    observed_known: Known,
    *,
    spares: bool,
    table: str = nft.TABLE,
) -> Iterator[Step]:
    """The step to a table with its sets of addresses, from the digest and the sets that are observed.

    Taps without a record that are spared keep rules and addresses.
    """
    if nft.digest(desired) != observed and not (observed and spares):
        text = nft.replacing(desired, name=table) if observed else desired
        yield LoadRules(where, text, table=table, known=known)
        return
    shown = {name: (known[name], observed_known[name]) for name in known if name in observed_known}
    new = {name: more for name, (wanted, seen) in shown.items() if (more := wanted - seen)}
    old = {name: less for name, (wanted, seen) in shown.items() if (less := seen - wanted) and not spares}
    if new or old:
        yield KnowAddresses(where, table, new, old)
