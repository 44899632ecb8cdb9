"""Takes the values of secrets out of what a stage prints, however it comes in pieces.

A value is found as it is, in base64 (standard and URL-safe, wherever it lies in what was encoded), quoted for
URLs, and escaped as Python and JSON write strings. Line ends count for nothing, so that it is also found
where it was wrapped; of a value of several lines, each line counts as a value too. What is found becomes
`***`. Values shorter than four characters, line ends aside, are left alone: masking them would shred
the output.

Standard library only, Python >= 3.8: stages of any Python use it, for their notebooks.
"""

import base64
import json
import re
from bisect import bisect_right
from urllib.parse import quote, quote_plus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator, List, Set, Tuple

MASK = b"***"
SHORTEST = 4
LINE_ENDS = b"\r\n"
LINE_END = re.compile(b"[\r\n]")
MOST_HELD = 1 << 20
SAFE_IN_URLS = ("", "/", "!'()*", "!#$%&'()*+,/:;=?@[]~")
"""What quoting leaves as it is: `quote_plus`, `quote`, encodeURIComponent of browsers, whole URLs."""


class Masker:
    """One stream of output, masked piece by piece: the same result however it is cut into pieces.

    What may be the beginning of a value is held back until more is known.
    """

    def __init__(self, values: "Iterable[str]") -> None:
        self._needles = needles(values)
        self._held = b""
        self._covered = 0
        """How many bytes at the beginning of what is held, line ends aside, have had their `***`."""

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """What can be given out after another piece."""
        self._held += data
        text = self._held.translate(None, LINE_ENDS)
        out = self._give(text, self._undecided(text))
        return out + self.settle() if len(self._held) > MOST_HELD else out

    def settle(self) -> bytes:
        """The whole lines of what is held: for when nothing more has come for a while."""
        whole = max(self._held.rfind(b"\n"), self._held.rfind(b"\r")) + 1
        if not whole:
            return b""
        limit = len(self._held[:whole].translate(None, LINE_ENDS))
        return self._give(self._held.translate(None, LINE_ENDS), limit)

    def end(self) -> bytes:
        """All that is left: nothing more will come."""
        text = self._held.translate(None, LINE_ENDS)
        return self._give(text, len(text))

    def text(self, whole: str) -> str:
        """A whole text at once."""
        data = whole.encode("utf-8", "surrogatepass")
        return (self.feed(data) + self.end()).decode("utf-8", "surrogatepass")

    def document(self, value: "Any") -> "Any":
        """What JSON can hold, with all its texts masked. Lists of texts are also looked at as one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.document(inner) for key, inner in value.items()}
        if not isinstance(value, list):
            return value
        pieces = [self.document(inner) for inner in value]
        if pieces and all(isinstance(piece, str) for piece in pieces):
            whole = "".join(pieces)
            masked = self.text(whole)
            return pieces if masked == whole else [masked]
        return pieces

    def _give(self, text: bytes, limit: int) -> bytes:
        """Give out what is held up to `limit`, a position in `text`: what is held without line ends."""
        raw, done = self._held, 0
        out: "List[bytes]" = []
        place = Places(raw)
        covered, self._covered = self._covered, 0
        for start, end in self._found(text, covered):
            if start >= limit and start:
                break
            if start or not covered:
                out += raw[done : place.of(start)], MASK
            done = place.of(end - 1) + 1
            if end > limit:
                self._covered = end - limit
                break
        rest = place.of(limit)
        out.append(b"" if self._covered else raw[done:rest])
        self._held = raw[rest:]
        return b"".join(out)

    def _found(self, text: bytes, covered: int) -> "List[Tuple[int, int]]":
        """Where there are values, from and to; those that overlap are one."""
        spans = [(0, covered)] if covered else []
        for needle in self._needles:
            at = text.find(needle)
            while at >= 0:
                spans.append((at, at + len(needle)))
                at = text.find(needle, at + 1)
        merged: "List[Tuple[int, int]]" = []
        for start, end in sorted(spans):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    def _undecided(self, text: bytes) -> int:
        """From where on the text may be the beginning of a value; its length: nowhere."""
        first = len(text)
        for needle in self._needles:
            at = text.find(needle[:1], max(0, len(text) - len(needle) + 1))
            while 0 <= at < first:
                if needle.startswith(text[at:]):
                    first = at
                at = text.find(needle[:1], at + 1)
        return first


class Places:
    """Where bytes of a text without its line ends are in the text with them."""

    def __init__(self, raw: bytes) -> None:
        ends = (found.start() for found in LINE_END.finditer(raw))
        self._ends = [at - number for number, at in enumerate(ends)]
        self._length = len(raw)

    def of(self, position: int) -> int:
        return min(self._length, position + bisect_right(self._ends, position))


def mask(values: "Iterable[str]", text: str) -> str:
    """A whole text without the values."""
    return Masker(values).text(text)


def needles(values: "Iterable[str]") -> "List[bytes]":
    """What to look for, without line ends."""
    found: "Set[bytes]" = set()
    for value in values:
        for part in {value.strip(), *(line.strip() for line in value.splitlines())}:
            if len(part.replace("\r", "").replace("\n", "")) >= SHORTEST:
                found.update(form.translate(None, LINE_ENDS) for form in forms(part))
    return sorted(found)


def forms(value: str) -> "Iterator[bytes]":
    """A value as programs write it."""
    data = value.encode("utf-8", "surrogatepass")
    yield data
    yield from base64_forms(data)
    for text in (repr(value), ascii(value), json.dumps(value), json.dumps(value, ensure_ascii=False)):
        yield text[1:-1].encode("utf-8", "surrogatepass")
    for safe in SAFE_IN_URLS:
        yield quote(data, safe=safe).encode()
        yield quote_plus(data, safe=safe).encode()


def base64_forms(data: bytes) -> "Iterator[bytes]":
    """What data is in base64 when other data lies before and after it: digits that it alone decides.

    Three bytes are four digits, so there are three ways to lie; a digit is 6 bits.
    """
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        for digits in (b"+/", b"-_"):
            encoded = base64.b64encode(bytes(before) + data, digits).rstrip(b"=")
            yield encoded[first:last]
            if not before:
                yield encoded
