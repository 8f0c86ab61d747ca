"""What a relay counts, as Prometheus reads it, by the names of the grid's relay for what that counts too. Pure.

Why it is not by prometheus_client: decisions/0003-metrics-by-the-grids-names.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

HELP = {
    "relay_message_rx": ("counter", "messages received"),
    "relay_message_tx": ("counter", "messages delivered"),
    "relay_message_rx_bytes": ("counter", "bytes of messages received"),
    "relay_message_tx_bytes": ("counter", "bytes of messages delivered"),
    "relay_worker_connections": ("gauge", "connections"),
    "relay_session_evictions_total": ("counter", "connections that were ended, by reason"),
    "relay_messages_total": ("counter", "messages by what was done with them"),
    "relay_waiting_bytes": ("gauge", "bytes that wait for a twin"),
    "relay_saved_messages": ("gauge", "messages that wait on disk"),
    "federation_message_success": ("counter", "messages that another relay took"),
    "federation_message_error": ("counter", "messages that none of the twin's relays took"),
}


def render(values: Mapping[str, Mapping[str, float] | float], labels: Mapping[str, str]) -> str:
    """The text format. A value is a number, or numbers by the value of the label that `labels` names for it."""
    return "".join(f"{line}\n" for name, value in values.items() for line in _lines(name, value, labels.get(name, "")))


def _lines(name: str, value: Mapping[str, float] | float, label: str) -> Iterable[str]:
    kind, text = HELP[name]
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    if isinstance(value, Mapping):
        for one, count in sorted(value.items()):
            yield f'{name}{{{label}="{_escape(one)}"}} {count}'
    else:
        yield f"{name} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


LABELS = {
    "relay_worker_connections": "worker",
    "relay_session_evictions_total": "reason",
    "relay_messages_total": "what",
    "federation_message_success": "relay",
    "federation_message_error": "relay",
}


def relay_values(
    counts: Counter[str],
    ended: Counter[str],
    connections: int,
    waiting: int,
    saved: int,
    federation: Mapping[str, Counter[str]],
) -> str:
    """A relay's metrics page."""
    plain = {name: counts[name] for name in HELP if name.startswith("relay_message_")}
    others: Counter[str] = Counter({what: count for what, count in counts.items() if what not in plain})
    return render(
        {
            **plain,
            "relay_worker_connections": {"0": connections},
            "relay_session_evictions_total": ended,
            "relay_messages_total": others,
            "relay_waiting_bytes": waiting,
            "relay_saved_messages": saved,
            **{f"federation_message_{what}": by_relay for what, by_relay in federation.items()},
        },
        LABELS,
    )
