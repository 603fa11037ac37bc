"""What an asset's history is, in dictionaries: the plain model that the store is compared with.

Written from what the verbs are said to do, without a look at how they do it: sets and recursion in
place of walks, pages and overlays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Files = dict[str, str]
UNLIKE = object()


class ConflictError(Exception):
    def __init__(self, paths: set[str]) -> None:
        super().__init__(sorted(paths))
        self.paths = paths


class RefusedError(Exception):
    """The call is not possible as things are."""


@dataclass
class PlainCommit:
    files: Files
    parents: tuple[int, ...]


@dataclass
class PlainAsset:
    """Commits by number, in the order in which they were made, and names with their histories."""

    commits: list[PlainCommit] = field(default_factory=lambda: [PlainCommit({}, ())])
    names: dict[str, tuple[str, int]] = field(default_factory=lambda: {"main": ("branch", 0)})
    heads: dict[str, list[int | None]] = field(default_factory=lambda: {"main": [0]})
    deleted: dict[str, tuple[str, int]] = field(default_factory=dict)

    # Names.

    def head(self, name: str, kind: str | None = None) -> int:
        if name not in self.names or kind not in (None, self.names[name][0]):
            raise RefusedError
        return self.names[name][1]

    def files(self, name: str) -> Files:
        return self.commits[self.head(name)].files

    def move(self, name: str, commit: int) -> None:
        self.names[name] = (self.names[name][0], commit)
        if self.heads[name][-1] != commit:
            self.heads[name].append(commit)

    def create(self, name: str, kind: str, commit: int) -> None:
        if name in self.names:
            raise RefusedError
        self.names[name] = (kind, commit)
        self.heads.setdefault(name, []).append(commit)
        self.deleted.pop(name, None)

    def delete(self, name: str) -> None:
        self.head(name)
        self.deleted[name] = self.names.pop(name)
        self.heads[name].append(None)

    def undelete(self, name: str, kind: str) -> None:
        if name in self.names or self.deleted.get(name, ("", 0))[0] != kind:
            raise RefusedError
        self.create(name, *self.deleted[name])

    def forget(self) -> None:
        """What gc does without retention: only what names lead to stays."""
        self.deleted.clear()
        for name, heads in self.heads.items():
            heads[:] = [self.names[name][1]] if name in self.names else []

    def kept(self) -> list[int]:
        """The commits that can be named: those of names, deleted ones too, and their ancestors."""
        roots = [each for heads in self.heads.values() for each in heads if each is not None]
        return sorted(set().union(*map(self.ancestors, roots)))

    # Commits.

    def add(self, branch: str, files: Files, *parents: int) -> int | None:
        """Commit these files, unless they are what the branch has and there is nothing to merge."""
        head = self.head(branch, "branch")
        if not parents and files == self.commits[head].files:
            return None
        check_overlap(files)
        self.commits.append(PlainCommit(files, (head, *parents)))
        self.move(branch, len(self.commits) - 1)
        return len(self.commits) - 1

    def commit(self, branch: str, puts: Files, gone: set[str]) -> int | None:
        kept = {p: v for p, v in self.files(branch).items() if p not in gone}
        return self.add(branch, kept | puts)

    def merge(self, source: int, target: str, strategy: str) -> int | None:
        head = self.head(target, "branch")
        theirs = self.commits[source].files
        if source in self.ancestors(head):
            if strategy != "replace" or theirs == self.commits[head].files:
                return None
            return self.add(target, theirs, source)
        if head in self.ancestors(source):
            self.move(target, source)
            return source
        if strategy == "replace":
            return self.add(target, theirs, source)
        base = self.base(head, source)
        merged = three_way(base, self.commits[head].files, theirs, strategy)
        return self.add(target, merged, source)

    def apply(self, branch: str, commit: int, strategy: str, *, inverse: bool) -> int | None:
        """Cherry-pick, or revert, against the first parent."""
        self.head(branch, "branch")
        after = self.commits[commit]
        before = self.commits[after.parents[0]].files if after.parents else {}
        base, theirs = (after.files, before) if inverse else (before, after.files)
        return self.add(branch, three_way(base, self.files(branch), theirs, strategy))

    def restore(self, branch: str, commit: int, path: str) -> int | None:
        source = self.commits[commit].files
        wanted = {p: v for p, v in source.items() if is_at(p, path)}
        if not wanted:
            raise RefusedError
        kept = {p: v for p, v in self.files(branch).items() if not is_at(p, path)}
        return self.add(branch, kept | wanted)

    # History.

    def ancestors(self, commit: int) -> set[int]:
        found: set[int] = set()
        pending = [commit]
        while pending:
            at = pending.pop()
            if at not in found:
                found.add(at)
                pending += self.commits[at].parents
        return found

    def bases(self, ours: set[int], theirs: set[int]) -> list[int]:
        common = set.intersection(
            *(set.union(*map(self.ancestors, side)) for side in (ours, theirs))
        )
        return sorted(c for c in common if not any(c in self.ancestors(d) - {d} for d in common))

    def base(self, ours: int, theirs: int) -> dict[str, object]:
        return self._merged(self.bases({ours}, {theirs}))

    def _merged(self, bases: list[int]) -> dict[str, object]:
        merged: dict[str, object] = dict(self.commits[bases[0]].files)
        for at, commit in enumerate(bases[1:], start=1):
            below = self._merged(self.bases(set(bases[:at]), {commit}))
            theirs = self.commits[commit].files
            result = {}
            for path in {*merged, *theirs, *below}:
                values = merged.get(path), theirs.get(path), below.get(path)
                result[path] = one_of(*values)
            merged = {path: value for path, value in result.items() if value is not None}
        return merged

    def origin(self, commit: int, path: str) -> int:
        value = self.commits[commit].files[path]
        for parent in self.commits[commit].parents:
            if self.commits[parent].files.get(path) == value:
                return self.origin(parent, path)
        return commit

    def touched(self, commit: int, path: str) -> set[int]:
        """The commits that a log of a path lists."""
        found: set[int] = set()
        seen: set[int] = set()
        pending = [commit]
        while pending:
            at = pending.pop()
            if at in seen:
                continue
            seen.add(at)
            mine = self._at(at, path)
            parents = self.commits[at].parents
            same = [p for p in parents if self._at(p, path) == mine]
            if same:
                pending.append(same[0])
                continue
            pending += parents
            if parents or mine:
                found.add(at)
        return found

    def _at(self, commit: int, path: str) -> Files:
        return {p: v for p, v in self.commits[commit].files.items() if is_at(p, path)}


def is_at(path: str, wanted: str) -> bool:
    return path == wanted or path.startswith(wanted.rstrip("/") + "/")


def one_of(ours: object, theirs: object, base: object) -> object:
    """The state that a path gets; UNLIKE: that is in conflict."""
    if ours == theirs and ours is not UNLIKE:
        return ours
    if theirs == base and base is not UNLIKE:
        return ours
    if ours == base and base is not UNLIKE:
        return theirs
    return UNLIKE


def three_way(base: dict[str, object], ours: Files, theirs: Files, strategy: str) -> Files:
    result: Files = {}
    conflicts = set()
    for path in {*base, *ours, *theirs}:
        value = one_of(ours.get(path), theirs.get(path), base.get(path))
        if value is UNLIKE:
            conflicts.add(path)
            value = theirs.get(path) if strategy == "theirs" else ours.get(path)
        if value is not None:
            result[path] = value  # type: ignore[assignment]
    new = {p for p, v in result.items() if ours.get(p) != v}
    old = set(result) - new
    clashing = {p for p in new if any(clash(p, q) for q in old)}
    hit = {q for q in old if any(clash(p, q) for p in new)}
    if strategy == "three-way" and (conflicts or clashing):
        raise ConflictError(conflicts | clashing)
    for path in clashing if strategy == "ours" else hit:
        del result[path]
    return result


def clash(a: str, b: str) -> bool:
    return a.startswith(b + "/") or b.startswith(a + "/")


def check_overlap(files: Files) -> None:
    if any(clash(a, b) for a in files for b in files):
        raise RefusedError
