"""Which addresses are the public internet; everything else is somebody's inside."""

from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

# `ipaddress` calls some of these global (168.63.129.16 is Azure's host, 192.88.99.0/24 the 6to4 relay).
_INSIDE_V4 = tuple(
    IPv4Network(net)
    for net in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)

# Only global unicast is public: no IPv4-mapped, NAT64, unique-local, site-local, link-local or multicast address is.
_GLOBAL_V6 = IPv6Network("2000::/3")

# Inside it: Teredo and other protocol assignments, documentation, 6to4 (which embeds any IPv4 address).
_INSIDE_V6 = tuple(IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


def public_address(text: str) -> bool:
    """True when `text` is an IPv4 or IPv6 address of the public internet; anything else, also a name, is not."""
    try:
        if ":" not in text:
            v4 = IPv4Address(text)
            return v4.is_global and not any(v4 in net for net in _INSIDE_V4)
        v6 = IPv6Address(text)
    except AddressValueError:
        return False
    return v6.is_global and v6 in _GLOBAL_V6 and not any(v6 in net for net in _INSIDE_V6)
