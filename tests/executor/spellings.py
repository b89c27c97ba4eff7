"""Ways in which a program may write a text so that it does not look like itself: for tests that look for a canary."""

import base64
import binascii
import codecs
import gzip
import html
import json
import quopri
import urllib.parse
import zlib
from collections.abc import Callable

Encode = Callable[[str], bytes]


def _each(form: str, between: str = "") -> Encode:
    return lambda text: between.join(form.format(ord(c)) for c in text).encode()


def _half_quoted(text: str) -> bytes:
    return "".join(f"%{ord(c):02X}" if at % 2 else c for at, c in enumerate(text)).encode()


def _base58(text: str) -> bytes:
    number, digits = int.from_bytes(text.encode(), "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[digit] + digits
    return digits.encode()


def _rot47(text: str) -> str:
    return "".join(chr(33 + (ord(c) - 33 + 47) % 94) if "!" <= c <= "~" else c for c in text)


def _atbash(text: str) -> str:
    return "".join(chr(219 - ord(c)) if "a" <= c <= "z" else c for c in text.lower())


def b64(data: bytes | str) -> bytes:
    return base64.b64encode(data.encode() if isinstance(data, str) else data)


ENCODINGS: dict[str, Encode] = {
    "plain": str.encode,
    "upper case": lambda s: s.upper().encode(),
    "swapped case": lambda s: s.swapcase().encode(),
    "reversed": lambda s: s[::-1].encode(),
    "spaced": lambda s: " ".join(s).encode(),
    "lines": lambda s: "\n".join(s).encode(),
    "dashed": lambda s: "--".join(s).encode(),
    "dotted": lambda s: ".".join(s).encode(),
    "zero width": lambda s: "\u200b".join(s).encode(),
    "quoted list": lambda s: json.dumps(list(s)).encode(),
    "fullwidth": lambda s: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in s).encode(),
    "base64": b64,
    "base64 without padding": lambda s: b64(s).rstrip(b"="),
    "base64 after one byte": lambda s: b64("x" + s),
    "base64 after two bytes": lambda s: b64("xy" + s + "z"),
    "base64 url-safe": lambda s: base64.urlsafe_b64encode(f"?>{s}?>".encode()),
    "base64 in lines": lambda s: b"\r\n".join(b64(s)[at : at + 7] for at in range(0, len(b64(s)), 7)),
    "base64 twice": lambda s: b64(b64(s)),
    "base64 thrice": lambda s: b64(b64(b64(s))),
    "base64 reversed": lambda s: b64(s)[::-1],
    "base64 of reversed": lambda s: b64(s[::-1]),
    "base64 of hex": lambda s: b64(s.encode().hex()),
    "base64 of utf-16": lambda s: b64(s.encode("utf-16-le")),
    "base64 under rot13": lambda s: codecs.encode(b64(s).decode(), "rot13").encode(),
    "base64 percent-encoded": lambda s: urllib.parse.quote(b64(s + "?>?>").decode(), safe="").encode(),
    "hex": lambda s: s.encode().hex().encode(),
    "HEX": lambda s: s.encode().hex().upper().encode(),
    "hex in pairs": lambda s: s.encode().hex(" ").encode(),
    "hex of base64": lambda s: b64(s).hex().encode(),
    "hex reversed": lambda s: s.encode().hex()[::-1].encode(),
    "bytes 0x": _each("0x{:02x}", ", "),
    "escapes \\x": _each("\\x{:02x}"),
    "percent-encoded": _each("%{:02X}"),
    "half percent-encoded": _half_quoted,
    "percent-encoded twice": _each("%25{:02X}"),
    "JSON escapes": _each("\\u{:04x}"),
    "half JSON escapes": lambda s: "".join(f"\\u{ord(c):04x}" if n % 3 else c for n, c in enumerate(s)).encode(),
    "JSON of JSON": lambda s: json.dumps(json.dumps("\n".join(s))).encode(),
    "code points U+": _each("U+{:04X}", " "),
    "escapes \\u{}": _each("\\u{{{:x}}}"),
    "HTML decimal": _each("&#{};"),
    "HTML hexadecimal": _each("&#x{:x};"),
    "half HTML": lambda s: "".join(f"&#{ord(c)};" if n % 2 else html.escape(c) for n, c in enumerate(s)).encode(),
    "decimal codes": _each("{}", ", "),
    "octal codes": _each("{:o}", " "),
    "escapes octal": _each("\\{:03o}"),
    "binary": _each("{:08b}", " "),
    "quoted-printable": _each("={:02X}"),
    "quoted-printable text": lambda s: quopri.encodestring(("=" + s + "=").encode()),
    "base32": lambda s: base64.b32encode(s.encode()),
    "base32 small": lambda s: base64.b32encode(b"abc" + s.encode()).rstrip(b"=").lower(),
    "base32 hex": lambda s: base64.b32hexencode(b"a" + s.encode()),
    "base85": lambda s: base64.b85encode(s.encode()),
    "base85 after a byte": lambda s: base64.b85encode(b"." + s.encode()),
    "ascii85": lambda s: base64.a85encode(s.encode(), adobe=True),
    "base58": _base58,
    "uuencode": lambda s: binascii.b2a_uu(s.encode()[:45]),
    "one number": lambda s: str(int.from_bytes(s.encode(), "big")).encode(),
    "rot13": lambda s: codecs.encode(s, "rot13").encode(),
    "rot47": lambda s: _rot47(s).encode(),
    "atbash": lambda s: _atbash(s).encode(),
    "utf-16 little": lambda s: s.encode("utf-16-le"),
    "utf-16 big": lambda s: s.encode("utf-16-be"),
    "utf-32": lambda s: s.encode("utf-32"),
    "utf-7": lambda s: s.encode("utf-7"),
    "gzip": lambda s: gzip.compress(s.encode()),
    "gzip in base64": lambda s: b64(gzip.compress(s.encode())),
    "zlib in hex": lambda s: zlib.compress(s.encode()).hex().encode(),
    "zlib of base64 in base64": lambda s: b64(zlib.compress(b64(s))),
}
