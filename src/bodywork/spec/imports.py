"""What a module's source tells about it: what it imports, whether it serves, on which port."""

from __future__ import annotations

import ast
import json
import re
import sys
import warnings
from collections.abc import Collection

SERVERS = {
    "flask": 5000,
    "fastapi": 8000,
    "uvicorn": 8000,
    "starlette": 8000,
    "gunicorn": 8000,
    "hypercorn": 8000,
    "waitress": 8080,
    "aiohttp": 8080,
    "tornado": 8888,
    "bottle": 8080,
    "sanic": 8000,
    "http.server": 8000,
    "socketserver": 8000,
    "streamlit": 8501,
    "gradio": 7860,
}
"""Packages of servers, and the port that each takes by itself."""

CLIENTS = frozenset({"aiohttp", "tornado"})
"""Those that are as often a client: they count as servers only where the source says `web` or `listen`."""

STARTS = re.compile(r"\b(run|serve|serve_forever|run_app|listen|launch|run_simple)\s*\(")
PORTS = (
    re.compile(r"\bport\W{1,4}(?:type\s*=\s*int\W+default\s*=\s*)?(\d{2,5})\b", re.IGNORECASE),
    re.compile(r"""\(\s*["'][\w.:-]*["']\s*,\s*(\d{2,5})\s*\)"""),
    re.compile(r"\blisten\(\s*(\d{2,5})\b"),
)
IMPORT = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_][\w.]*)", re.MULTILINE)
GUARD = re.compile(r"""^if\s+__name__\s*==\s*["']__main__["']""", re.MULTILINE)

PACKAGES = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "google": None,
    "jose": "python-jose",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "usb": "pyusb",
    "win32api": None,
    "yaml": "pyyaml",
}
"""Packages that are imported under another name; None: one that the name does not tell."""


def code(path: str, text: str) -> str:
    """The Python of a module; of a notebook, its code cells one after the other."""
    if not path.endswith(".ipynb"):
        return text
    try:
        cells = json.loads(text)["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        whole = "\n".join(source if isinstance(source, str) else "".join(source) for source in sources)
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return "\n".join(line for line in whole.splitlines() if not line.lstrip().startswith(("%", "!")))


def imported(source: str) -> frozenset[str]:
    """Dotted names of the modules that are imported anywhere in `source`, relative imports left out."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset(IMPORT.findall(source))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def packages(names: Collection[str], local: Collection[str]) -> tuple[str, ...]:
    """What to install for the imports `names`, without what Python or the project (`local`) has."""
    tops = {name.partition(".")[0] for name in names} - set(local) - sys.stdlib_module_names
    wanted = {PACKAGES.get(top, top.replace("_", "-").lower()) for top in tops}
    return tuple(
        sorted(name for name in wanted if name and re.fullmatch(r"[a-z0-9][a-z0-9.-]*[a-z0-9]", name))
    )


def server(source: str, names: Collection[str]) -> str | None:
    """The server package that `source` imports; None: it is no service."""
    for package in SERVERS:
        if any(name == package or name.startswith(f"{package}.") for name in names) and (
            package not in CLIENTS or re.search(r"\b(web|listen)\b", source)
        ):
            return package
    return None


def port(source: str, package: str) -> int:
    """The port that `source` seems to listen on, else the usual one of its server."""
    for pattern in PORTS:
        for found in pattern.findall(source):
            if 0 < int(found) <= 65535:
                return int(found)
    return SERVERS[package]


def starts_itself(source: str) -> bool:
    """Whether `source` seems to start its server when it is run."""
    return STARTS.search(source) is not None


def is_script(source: str) -> bool:
    """Whether `source` does something when it is run, by the usual sign."""
    return GUARD.search(source) is not None
