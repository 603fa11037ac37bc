"""A lineage as text: a tree for a terminal, Graphviz, Mermaid. Text to text, no I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from ahstore.jobs.provenance.lineage import Edge, Lineage, Node

ID_LENGTH = 8
LABEL_LENGTH = 80


def title(node: Node) -> str:
    """Return what a node is called: ``user/model/f/a @ 12b910b2``, with what counts most of it."""
    short = node.id[:ID_LENGTH]
    if node.kind == "evaluation":
        results = ", ".join(f"{key} {_short(text)}" for key, text in node.facts.items())
        return f"{node.id}: {results}"
    if node.kind == "code":
        subpath = node.facts["subpath"]
        changed = " with uncommitted changes" if "changes" in node.facts else ""
        return f"{node.name} @ {short}{'' if subpath == '.' else f' {subpath}'}{changed}"
    run = f" ({node.facts['run']})" if "run" in node.facts else ""
    return f"{node.name} @ {short}{run}"


def _short(text: str) -> str:
    """Return a result of one line: of a document the numbers, else the text's beginning."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        return " ".join(f"{k}={v:g}" for k, v in value.items() if isinstance(v, (int, float)))
    return str(value)[:LABEL_LENGTH]


def as_tree(lineage: Lineage, *, up: bool = True, down: bool = True) -> Iterator[str]:
    """Yield the lines of a tree from the root: what it was made of, then what came of it."""
    yield title(lineage.nodes[lineage.root])
    if up:
        yield from _branches(lineage, lineage.root, lineage.above, lambda e: e.source, "made of")
    if down:
        yield from _branches(lineage, lineage.root, lineage.below, lambda e: e.target, "used for")
    if lineage.cut:
        yield "(there is more: only a part is shown)"


def _branches(
    lineage: Lineage,
    root: str,
    edges_of: Callable[[str], list[Edge]],
    end: Callable[[Edge], str],
    heading: str,
) -> Iterator[str]:
    if not edges_of(root):
        return
    yield f"{heading}:"
    shown = {root}
    # A stack of its own: histories are deeper than Python's.
    stack = [("", edges_of(root))]
    while stack:
        indent, edges = stack[-1]
        if not edges:
            stack.pop()
            continue
        edge, *rest = edges
        stack[-1] = (indent, rest)
        key = end(edge)
        again = key in shown
        shown.add(key)
        mark = "├── " if rest else "└── "
        seen = " (see above)" if again and edges_of(key) else ""
        yield f"{indent}{mark}{edge.relation}: {title(lineage.nodes[key])}{seen}"
        if not again:
            stack.append((indent + ("│   " if rest else "    "), edges_of(key)))


def as_dot(lineage: Lineage) -> Iterator[str]:
    """Yield the lines of a Graphviz graph."""
    shapes = {"model": "box", "dataset": "cylinder", "code": "note", "evaluation": "ellipse"}
    numbers = {key: f"n{number}" for number, key in enumerate(lineage.nodes)}
    yield "digraph lineage {"
    yield "  rankdir=LR;"
    for key, node in lineage.nodes.items():
        label = json.dumps(title(node), ensure_ascii=False)
        bold = ", penwidth=2" if key == lineage.root else ""
        yield f"  {numbers[key]} [label={label}, shape={shapes[node.kind]}{bold}];"
    for edge in lineage.edges:
        yield f'  {numbers[edge.source]} -> {numbers[edge.target]} [label="{edge.relation}"];'
    yield "}"


def as_mermaid(lineage: Lineage) -> Iterator[str]:
    """Yield the lines of a Mermaid flowchart."""
    brackets = {
        "model": ("[", "]"), "dataset": ("[(", ")]"), "code": ("[/", "/]"), "evaluation": ("([", "])")
    }  # fmt: skip
    numbers = {key: f"n{number}" for number, key in enumerate(lineage.nodes)}
    yield "flowchart LR"
    for key, node in lineage.nodes.items():
        before, after = brackets[node.kind]
        yield f'  {numbers[key]}{before}"{_mermaid_text(title(node))}"{after}'
    for edge in lineage.edges:
        yield f"  {numbers[edge.source]} -- {edge.relation} --> {numbers[edge.target]}"


def _mermaid_text(text: str) -> str:
    """Return text with every character that means something to Mermaid or HTML spelt by number."""
    return "".join(c if c.isalnum() or c in " ._-/:@=," else f"#{ord(c)};" for c in text)
