"""What an interpreter has: run as a script of its own by the interpreter that a run will use.

``python -S -P inspect_python.py`` would miss packages, so it runs as the code will. Prints one JSON
object: ``version``, ``implementation``, ``packages`` (name to version). It imports nothing of
ahstore, which that interpreter may not have.
"""

import json
import platform
import sys
from importlib import metadata


def main() -> None:
    """Print what this interpreter has."""
    packages = {}
    # Of two of one name the first on the path is the one that is imported.
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name and name not in packages:
            packages[name] = distribution.version
    found = {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
