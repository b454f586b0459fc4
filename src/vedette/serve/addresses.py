"""Which addresses a URL may lead to: public ones; an operator's own storage where it is named.

A list of what is refused, after IANA's registries of special-purpose addresses, and of IPv6 only
what is handed out at all (``2000::/3``): what is in no list is not fetched from.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_METADATA: Final = frozenset(
    ip_address(one)
    for one in (
        "169.254.169.254",  # AWS, Azure, Google and most others
        "169.254.170.2",  # AWS: credentials of a task
        "fd00:ec2::254",  # AWS over IPv6
        "fd20:ce::254",  # Google over IPv6
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure: the host of a virtual machine, at a public address
        "192.0.0.192",  # Oracle
    )
)
"""Where clouds answer with a machine's credentials; refused whatever else is allowed."""
_V4: Final = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "private"),  # carriers' NAT
        ("127.0.0.0/8", "private"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "tunnel"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "reserved"),  # benchmarks
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),  # with the broadcast address
    )
)
_V6: Final = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::1/128", "private"),
        ("fc00::/7", "private"),
        ("::/128", "unspecified"),
        ("::ffff:0:0/96", "tunnel"),  # IPv4-mapped
        ("::/96", "tunnel"),  # IPv4-compatible
        ("::ffff:0:0:0/96", "tunnel"),  # IPv4-translated
        ("64:ff9b::/96", "tunnel"),  # NAT64
        ("64:ff9b:1::/48", "tunnel"),
        ("2002::/16", "tunnel"),  # 6to4
        ("2001::/32", "tunnel"),  # Teredo
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("2620:4f:8000::/48", "reserved"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "link-local"),  # site-local, as it was called
        ("ff00::/8", "multicast"),
    )
)
_HANDED_OUT: Final = IPv6Network("2000::/3")
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})
"""Upper half of an interface's id that holds an IPv4 address (RFC 5214)."""


def refusal(address: str, *, private: bool = False) -> str | None:
    """Why a URL must not lead to an address; None: it may.

    Args:
        address: as a resolver gives it; what is no address is refused.
        private: private and loopback addresses are allowed: one's own storage. Metadata services,
            link-local, multicast and tunnelled addresses stay refused.
    """
    if "%" in address:
        return "link-local"  # an address with a zone means this machine's own links
    try:
        found = ip_address(address)
    except ValueError:
        return "malformed"
    if found in _METADATA:
        return "metadata"
    kind = _kind4(found) if isinstance(found, IPv4Address) else _kind6(found)
    return None if kind == "private" and private else kind


def _kind4(address: IPv4Address) -> str | None:
    kind = next((kind for network, kind in _V4 if address in network), None)
    return kind or (None if address.is_global else "reserved")


def _kind6(address: IPv6Address) -> str | None:
    kind = next((kind for network, kind in _V6 if address in network), None)
    if kind is not None:
        return kind
    if address not in _HANDED_OUT or not address.is_global:
        return "reserved"
    return "tunnel" if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP else None
