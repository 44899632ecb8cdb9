"""Artifacts to and from the store, by addresses that were signed beforehand.

The stage holds no credential: each address is good for one object, one kind of request and some time.
A large artifact is several objects, its pieces; a piece that does not get through is sent again alone.
"""

import functools
import hashlib
import http.client
import os
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.request

TYPE_CHECKING = False
if TYPE_CHECKING or __package__:
    from bodywork.stage import archive
    from bodywork.stage.failure import FailedError
else:
    import archive
    from failure import FailedError
if TYPE_CHECKING:
    from typing import IO, Any, Callable, Dict, Iterator, Tuple, TypeVar

    from bodywork.stage.order import Signed

    T = TypeVar("T")

BLOCK = 1024 * 1024
PATIENCE = 120.0  # seconds for which a store that does not answer is asked again
SILENCE = 60.0  # seconds that it may be silent within an answer
WORTH_ANOTHER = frozenset((408, 429, 500, 502, 503, 504))
SAID = re.compile(rb"<(Code|Message)>([^<]{1,300})<")


def get(origin: "Signed", digest: str, into: str, scratch: str) -> None:
    """Write the file or folder with this digest to `into`. Raises FailedError."""
    kind, _, wanted = digest.partition(":")
    shutil.rmtree(into, ignore_errors=True)
    os.makedirs(os.path.dirname(into), exist_ok=True)
    descriptor, fresh = tempfile.mkstemp(dir=scratch)
    os.close(descriptor)
    try:
        found = fetch(origin, fresh)
        if found != wanted:
            raise FailedError(
                "what the store gave is damaged: it has the digest %s, not %s" % (found, wanted)
            )
        if kind == "folder":
            archive.unpack(fresh, into)
        else:
            os.chmod(fresh, 0o644)
            shutil.move(fresh, into)
    finally:
        if os.path.exists(fresh):
            os.unlink(fresh)


def put(to: "Signed", path: str, scratch: str) -> str:
    """Keep a file or folder and return its digest. Raises FailedError."""
    if os.path.isdir(path):
        with tempfile.TemporaryFile(dir=scratch) as file:
            try:
                archive.write(path, file)
            except archive.OutsideError as error:
                raise FailedError(
                    "%s is a link that leads out of the folder: %s" % (error.link, error.to)
                ) from None
            return "folder:" + keep(to, file)
    if not os.path.isfile(path):
        raise FailedError("%s is neither a file nor a folder" % os.path.basename(path))
    with open(path, "rb") as file:
        return "file:" + keep(to, file)


def fetch(origin: "Signed", into: str) -> str:
    """All pieces of an artifact as one file; its sha256."""
    digest, length = hashlib.sha256(), 0
    for url in origin.urls:
        digest, got = patiently(functools.partial(download, url, into, length, digest))
        length += got
        if got != origin.piece:
            break
    return digest.hexdigest()


def keep(to: "Signed", file: "IO[bytes]") -> str:
    """Put the whole file, in pieces if it is large; its sha256."""
    urls, size, digest = to.urls, file.seek(0, os.SEEK_END), hashlib.sha256()
    count = 1 if to.piece is None else size // to.piece + 1
    if to.piece is not None and count > len(urls):
        raise FailedError(
            "it has %s, and one output can have less than %s: divide it among several"
            % (amount(size), amount(to.piece * len(urls)))
        )
    for number in range(count):
        begin = number * (to.piece or 0)
        length = min(to.piece or size, size - begin)
        digest = patiently(functools.partial(upload, urls[number], to.headers, file, begin, length, digest))
    if file.seek(0, os.SEEK_END) != size:
        raise FailedError("its size changed while it was read")
    return digest.hexdigest()


def amount(octets: int) -> str:
    return "%.1f GiB" % (octets / 2**30) if octets >= 2**30 else "%.1f MiB" % (octets / 2**20)


def patiently(step: "Callable[[], T]") -> "T":
    """Do a step, and do it again when that may help, for a while. Raises FailedError."""
    deadline, pause = time.monotonic() + PATIENCE, 0.5
    while True:
        try:
            return step()
        except urllib.error.HTTPError as error:
            failure = refused(error)
            if error.code not in WORTH_ANOTHER:
                raise failure from None
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            failure = FailedError(
                "the store does not answer: %s" % (str(reason) or type(reason).__name__), retry=True
            )
            if type(reason).__name__ == "SSLCertVerificationError":
                raise failure from None
        if time.monotonic() + pause > deadline:
            raise failure
        time.sleep(pause)
        pause = min(10.0, pause * 2)


def refused(error: "urllib.error.HTTPError") -> FailedError:
    """What an answer other than 200 means; the store's own words are kept."""
    with error:
        said = b": ".join(text for _, text in SAID.findall(error.read(4096))).decode("utf-8", "replace")
    if error.code == 403:
        sentence = "the store refuses the address that was signed for this attempt; it may be too old"
        return FailedError(sentence + (" (%s)" % said if said else ""), retry=True)
    if error.code == 507:
        return FailedError(
            "the store is full (%s): make room in it (`bodywork prune` deletes what nothing needs any more), "
            "or have it enlarged; then run the stage again" % (said or error.reason)
        )
    if error.code == 404:
        return FailedError("the store does not have it any more; run the stage that makes it again")
    retry = error.code in WORTH_ANOTHER
    return FailedError("the store answers %d (%s)" % (error.code, said or error.reason), retry=retry)


def download(url: str, into: str, begin: int, before: "Any") -> "Tuple[Any, int]":
    """Write the content of `url` to the file from `begin` on; the digest of all so far, and its length."""
    digest, length = before.copy(), 0
    with urllib.request.urlopen(url, timeout=SILENCE) as answer, open(into, "r+b") as file:
        file.truncate(begin)
        file.seek(begin)
        expected = answer.headers.get("Content-Length")
        while True:
            block = answer.read(BLOCK)
            if not block:
                break
            digest.update(block)
            file.write(block)
            length += len(block)
    if expected is not None and length != int(expected):
        raise ConnectionError("it ended after %d of %s bytes" % (length, expected))
    return digest, length


def upload(
    url: str, more: "Dict[str, str]", file: "IO[bytes]", begin: int, length: int, before: "Any"
) -> "Any":
    """So many bytes of the file as the content of `url`; the digest of all so far."""
    digest = before.copy()
    file.seek(begin)
    headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream"}
    headers.update(more)
    request = urllib.request.Request(url, blocks(file, length, digest), headers, method="PUT")
    with urllib.request.urlopen(request, timeout=SILENCE) as answer:
        answer.read()
    return digest


def blocks(file: "IO[bytes]", length: int, digest: "Any") -> "Iterator[bytes]":
    while length > 0:
        block = file.read(min(BLOCK, length))
        if not block:
            raise FailedError("its size changed while it was read")
        digest.update(block)
        length -= len(block)
        yield block
