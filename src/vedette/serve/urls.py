"""One strict reading of a URL: what is checked is what is asked, so nothing is read twice.

Programs that disagree about a URL are how filters are passed by: here everything that two parsers
might read in two ways is refused, and the parts that are left are the only ones used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, urljoin

from vedette.serve.refusals import Refusal

MAX_CHARACTERS = 4096
"""Of a URL."""
_PORTS = {"http": 80, "https": 443}
_PARTS = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE)
_PLAIN = re.compile(r"[!-\[\]-~]*")
"""Printable ASCII without space and backslash: the one charset on which all parsers agree."""
_PORT = re.compile(r"(.*?)(?::([0-9]{1,5}))?", re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_AS_THEY_ARE = "/?:@!$&'()*+,;=-._~%"
"""Characters of a path and a query that are sent unchanged; ``%`` because they are encoded."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that has been read. Its text holds no query, so that it may stand in a message."""

    scheme: str
    host: str
    """Lower case; an IPv6 address without its brackets."""
    port: int
    path: str
    """With the query, as it is sent."""

    @property
    def authority(self) -> str:
        """The ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an address, not a name."""
        return ":" in self.host or _is_v4(self.host)

    def __repr__(self) -> str:
        return f"Target({self.scheme}://{self.authority})"

    def join(self, location: str) -> Target:
        """Where a redirect leads from here.

        Raises:
            Refusal: ``url_refused``, as :func:`parse_url`.
        """
        # urljoin drops tabs and newlines, and reads /// unlike a browser: such goes first.
        _check_characters(location)
        if location.startswith("///"):
            raise _refused("the redirect's address cannot be read")
        try:
            return parse_url(urljoin(f"{self.scheme}://{self.authority}{self.path}", location))
        except ValueError as error:  # of urljoin: brackets that are no address
            raise _refused("the redirect's address cannot be read") from error


def parse_url(url: str) -> Target:
    """The one meaning of a URL.

    Raises:
        Refusal: ``url_refused``: not http or https, or not certainly one meaning: user names,
            backslashes, spaces, control and non-ASCII characters, IPv4 addresses in any other form
            than four decimal numbers, IPv6 zones. The message quotes nothing of it.
    """
    _check_characters(url)
    found = _PARTS.fullmatch(url)
    if found is None:
        raise _refused("only http:// and https:// addresses are fetched")
    scheme, authority, path, query = found[1].lower(), found[2], found[3], found[4] or ""
    if "@" in authority:
        raise _refused("an address with a user name or a password is not fetched")
    host, port = _host_and_port(authority)
    sent = quote((path or "/") + query, safe=_AS_THEY_ARE)
    return Target(scheme, host, _PORTS[scheme] if port is None else port, sent)


def normal_host(host: str) -> str:
    """A host of the settings, in the form that :class:`Target` has; the leading dot is kept.

    Raises:
        Refusal: ``url_refused``: not a host.
    """
    dot = "." if host.startswith(".") else ""
    found, port = _host_and_port(f"[{host}]" if host.count(":") > 1 else host.removeprefix("."))
    if port is not None:
        raise _refused("a host is named without its port")
    return dot + found


def _check_characters(url: str) -> None:
    if len(url) > MAX_CHARACTERS:
        raise _refused(f"the address is longer than {MAX_CHARACTERS} characters")
    if not _PLAIN.fullmatch(url):
        raise _refused(
            "the address has a space, a backslash, a control character or one beyond ASCII",
            hint="percent-encode the path; write the host in its xn-- form",
        )


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        inside, bracket, rest = authority[1:].partition("]")
        found = re.fullmatch(r"(?::([0-9]{1,5}))?", rest)
        if not bracket or found is None:
            raise _refused("the host cannot be read")
        host, digits = _v6(inside), found[1]
    else:
        found = _PORT.fullmatch(authority)
        assert found is not None  # it matches anything
        host, digits = _name(found[1].lower()), found[2]
    if digits is None:
        return host, None
    if not 0 < int(digits) <= 65535:
        raise _refused("the port cannot be read")
    return host, int(digits)


def _v6(text: str) -> str:
    try:
        if "%" in text:
            raise AddressValueError("a zone")
        return str(IPv6Address(text))
    except AddressValueError as error:
        raise _refused("the host is no IPv6 address") from error


def _name(host: str) -> str:
    """A name, or an IPv4 address in its one form."""
    host = host.removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused("the host cannot be read")
    if _NUMBER.fullmatch(labels[-1]) and not _is_v4(host):
        # 127.1, 2130706433, 0x7f.0.0.1 and 0177.0.0.1 mean 127.0.0.1 to some resolvers.
        raise _refused("an IPv4 address is written as four decimal numbers")
    return host


def _is_v4(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except AddressValueError:
        return False


def _refused(message: str, hint: str | None = None) -> Refusal:
    return Refusal(message, code="url_refused", hint=hint)
