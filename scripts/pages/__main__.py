"""Write docs/reference from the code, or with --check say which of its pages are out of date.

Called by scripts/reference: python -m pages [--check]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pages import command_line, documents, project_file, variables

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
PAGES = {
    "bodywork-yaml.md": project_file.page,
    "command-line.md": command_line.page,
    "variables.md": variables.page,
    "json.md": documents.page,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when a page differs")
    check = parser.parse_args().check
    old = 0
    for name, page in PAGES.items():
        path, text = FOLDER / name, page()
        if path.exists() and path.read_text() == text:
            continue
        old += 1
        if check:
            print(f"docs/reference/{name} is out of date: run scripts/reference", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote docs/reference/{name}")
    return 1 if check and old else 0


if __name__ == "__main__":
    sys.exit(main())
