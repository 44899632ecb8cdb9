"""Speed and memory of artifacts that go through S3, beside the client library alone in the same run.

    python benchmarks/stores.py [--json FILE] [--mebibytes N] [--times N]

Needs versitygw in PATH, an S3 server, which is started over a folder of this machine. Transfers take turns,
each in a process of its own; the fastest of each kind counts. Ours also takes the digest of what is
sent and of what comes, and looks first whether it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from local import ROOT, Figure

sys.path.insert(0, str(ROOT / "tests"))
import s3

BEGIN = """
import resource, sys, time
from datetime import timedelta
from pathlib import Path
def result(begin):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(time.perf_counter() - begin, peak)
endpoint, key, secret, here, there = sys.argv[1:]
"""
ALONE = (
    BEGIN
    + """
import obstore
from obstore.store import S3Store
config = {"endpoint": endpoint, "region": "us-east-1", "access_key_id": key, "secret_access_key": secret,
          "virtual_hosted_style_request": False}
store = S3Store("models", config=config, client_options={"allow_http": True})
begin = time.perf_counter()
"""
)
ALONE_PUT = ALONE + "obstore.put(store, 'alone', Path(here))\nresult(begin)\n"
ALONE_GET = (
    ALONE
    + """
with open(there, "wb") as file:
    for chunk in obstore.get(store, "alone").stream(min_chunk_size=1 << 20):
        file.write(chunk)
result(begin)
"""
)
OURS = (
    BEGIN
    + """
from bodywork.artifacts.address import Address
from bodywork.artifacts.bucket import BucketStore
from bodywork.artifacts.objects import ObjectStore
from bodywork.artifacts.turns import Turns
variables = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
objects = ObjectStore(Address.parse(f"s3://models?endpoint={endpoint}"), variables)
store = BucketStore(objects, "bench", turns=Turns(Path(here).parent / "turns"))
digest = Path(here).with_name("digest")
begin = time.perf_counter()
"""
)
OURS_PUT = OURS + "digest.write_text(store.put(Path(here)))\nresult(begin)\n"
OURS_GET = OURS + "store.get(digest.read_text(), Path(there))\nresult(begin)\n"


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """`took` in seconds, `peak` resident memory in bytes."""

    took: float
    peak: int


def transfer(program: str, server: s3.Server, here: Path, there: Path) -> Transfer:
    arguments = [server.endpoint, s3.KEY, s3.SECRET, str(here), str(there)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    took, peak = done.stdout.split()
    there.unlink(missing_ok=True)
    os.sync()  # what one has written does not slow the next one down
    return Transfer(took=float(took), peak=int(peak))


def measured(server: s3.Server, here: Path, times: int) -> dict[str, Transfer]:
    """The fastest of each; ours is put anew each time."""
    programs = {"alone put": ALONE_PUT, "ours put": OURS_PUT, "alone get": ALONE_GET, "ours get": OURS_GET}
    found: dict[str, list[Transfer]] = {name: [] for name in programs}
    for _ in range(times):
        for name, program in programs.items():
            found[name].append(transfer(program, server, here, here.with_name("copy")))
        shutil.rmtree(server.root / "models" / "_local")
    return {
        name: Transfer(took=min(one.took for one in all_), peak=max(one.peak for one in all_))
        for name, all_ in found.items()
    }


def figures(found: dict[str, Transfer], mebibytes: int) -> Iterator[Figure]:
    size = f"{mebibytes / 1024:g} GiB" if mebibytes >= 1024 else f"{mebibytes} MiB"
    for way in ("put", "get"):
        ours, alone = found[f"ours {way}"], found[f"alone {way}"]
        goal = f"1.2 times the reference (now {ours.took / alone.took:.2f})"
        yield Figure(
            name=f"{way} of {size}",
            value=ours.took,
            unit="s",
            reference=alone.took,
            reference_name="obstore alone",
            goal=goal,
        )
        yield Figure(
            name=f"{way} of {size}, peak memory",
            value=ours.peak / 2**20,
            unit="MiB",
            reference=alone.peak / 2**20,
            reference_name="obstore alone",
            goal="the same for any size",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--mebibytes", type=int, default=2048, help="how much is put and got")
    parser.add_argument("--times", type=int, default=3, help="how often each is measured")
    options = parser.parse_args()
    if s3.PROGRAM is None:
        raise SystemExit("needs versitygw in PATH")
    with tempfile.TemporaryDirectory(prefix="bodywork-bench-") as name:
        here = Path(name, "artifact")
        with here.open("wb") as file:
            for _ in range(options.mebibytes):
                file.write(os.urandom(1 << 20))
        with s3.server(Path(name), "models") as server:
            found = measured(server, here, options.times)
    print(f"load of this machine: {', '.join(f'{one:.1f}' for one in os.getloadavg())}")
    made = list(figures(found, options.mebibytes))
    for figure in made:
        print(figure.line, flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in made], indent=2) + "\n")


if __name__ == "__main__":
    main()
