"""What a reader of the tree meets: files, lines, rooms, arrows between rooms, circles.

A room is a file that lies directly in a top package, or a folder in it; an arrow is one room importing another of the
same top package; a circle is a set of files that import each other, lazily or not.
`python -m tests.benchmarks.structure [DIRECTORY]` prints a table and, as the last line, JSON.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

TOPS = ("recsys_vae", "pipelines", "service")


def main() -> None:
    """Measure the tree in a directory, by default the current one."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    modules = {_name(root, path): path for top in TOPS for path in sorted((root / top).rglob("*.py"))}
    found = {top: measure(top, modules) for top in TOPS}
    for top, values in found.items():
        print(f"{top:<12}", "  ".join(f"{name} {value}" for name, value in values.items()))
    print(json.dumps(found))


def measure(top: str, modules: dict[str, Path]) -> dict[str, int]:
    """Counts of one top package."""
    mine = {name: path for name, path in modules.items() if name.split(".")[0] == top}
    imports = nx.DiGraph()
    rooms = nx.DiGraph()
    for name, path in mine.items():
        rooms.add_node(_room(name, path))
        for target in imported(path, mine):
            imports.add_edge(name, target)
            if _room(name, path) != _room(target, mine[target]):
                rooms.add_edge(_room(name, path), _room(target, mine[target]))
    is_circle = (len(part) > 1 for part in nx.strongly_connected_components(imports))
    return {
        "files": len(mine),
        "lines": sum(len(path.read_text().splitlines()) for path in mine.values()),
        "longest": max(len(path.read_text().splitlines()) for path in mine.values()),
        "rooms": rooms.number_of_nodes(),
        "arrows": rooms.number_of_edges(),
        "circles": sum(is_circle),
    }


def imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Modules that a file imports, lazily or not; names under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules:
                    yield inner
                elif node.module in modules:
                    yield node.module


def _name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(name: str, path: Path) -> str:
    folders = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    return ".".join(folders) if len(folders) > 1 else name


if __name__ == "__main__":
    main()
