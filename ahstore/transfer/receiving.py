"""One asset into a store: what is missing is copied, then refs, evaluations and its name appear.

Everything is done under one writer's session. Write order: docs/format/write-order.md, "Receiving
an asset". A run that dies leaves packs that the next one finds and uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from ahstore.errors import AlreadyExistsError, ConflictError, InvalidInputError, NotFoundError
from ahstore.hub.adopting import AssetAdoption, adopt_folder, find_home
from ahstore.hub.assets import evaluations_cell
from ahstore.hub.hub import Hub
from ahstore.hub.paths import HubPath
from ahstore.hub.records import AssetRecord, FolderRecord
from ahstore.ids import AssetId, CommitId, FolderId, new_entity_id
from ahstore.storage.cells import CellConflictError
from ahstore.transfer.contents import Moved, Traffic, move
from ahstore.transfer.evaluations import Evaluations, Measured
from ahstore.transfer.history import complete_at, descends, finder
from ahstore.transfer.offers import AssetOffer, RefOffer
from ahstore.transfer.refs import MOVING, RefResult, decide, prune, publish_ref
from ahstore.transfer.results import AssetResult
from ahstore.transfer.sinks import CheckSink, Sink, StoreSink
from ahstore.transfer.source import find_record
from ahstore.versions.history.closure import check_complete
from ahstore.versions.monitor import SILENT, Monitor
from ahstore.versions.refs import Ref, Refs, ref_cell
from ahstore.versions.repository import Repository
from ahstore.versions.session import WriteSession


@dataclass(frozen=True, slots=True)
class Terms:
    """How an asset is received.

    Attributes:
        force: branches become what they are at the source, whatever they are here.
        prune: branches and tags that the source has not are deleted.
        as_path: folder and name for an asset that is not here yet; None: those at the source.
        required: commits that the source builds on without having them.
        beats: called often, to show that the work goes on.
        monitor: told of bytes.
    """

    force: bool = False
    prune: bool = False
    as_path: HubPath | None = None
    required: tuple[CommitId, ...] = ()
    beats: Sequence[Callable[[], None]] = field(default=())
    monitor: Monitor = SILENT


def receive(hub: Hub, source: Repository, offer: AssetOffer, terms: Terms) -> AssetResult:
    """Bring an asset of ``source`` up to date here, or make it.

    Raises:
        AlreadyExistsError: another asset has its name, or it is here under another path than asked.
        CorruptError: the source's content is damaged or malformed; nothing of it can be seen here.
        NotFoundError: the source lacks something, or this store what the source builds on.
    """
    return _Receiver(hub, source, offer, terms).run()


def preview(hub: Hub, source: Repository, offer: AssetOffer, terms: Terms) -> AssetResult:
    """Return what ``receive`` would do, having read and checked all it would copy.

    Raises as ``receive`` does. Nothing is written.
    """
    return _Receiver(hub, source, offer, terms).preview()


class _Receiver:
    def __init__(self, hub: Hub, source: Repository, offer: AssetOffer, terms: Terms) -> None:
        self._hub = hub
        self._repo = hub.repo
        self._source = source
        self._offer = offer
        self._terms = terms
        self._asset = offer.record.id
        self._known = find_record(hub, offer.record)
        here = Refs(self._repo).list(self._asset)
        self._here = here if self._known else []
        self._remains: dict[str, int] = {}
        self._complete = complete_at(self._repo, [ref.commit for ref in self._here])
        self._evaluations = Evaluations(source, offer.evaluations, self._repo, offer.record)
        self._measured = self._evaluations.measured()
        self._datasets = self._find_datasets()
        self._planned = self._plan()
        self._moving = [ref for ref, result in self._planned if result.action in MOVING]

    def run(self) -> AssetResult:
        adoption = None
        if self._known is None:
            adoption = self._adoption(adopt_folder(self._hub, self._wanted_home()))
        else:
            self._check_path(self._known)
        if adoption is None and not self._moving and not any(map(self._is_here, self._measured)):
            return self._result([result for _, result in self._planned], _NOTHING, 0)
        with _alone(self._repo, self._asset) if adoption else nullcontext():
            done = self._publish(adoption)
        # None: another has brought it meanwhile, and what is there now is what counts.
        return done or _Receiver(self._hub, self._source, self._offer, self._terms).run()

    def _publish(self, adoption: AssetAdoption | None) -> AssetResult | None:
        cells = [ref_cell(self._asset, ref.name) for ref in self._moving]
        cells += adoption.cells if adoption else [evaluations_cell(self._asset)]
        with self._repo.session(cells) as session:
            moved = self._move(session)
            if adoption is None or self._begin(session, adoption):
                refs = [self._settle(session, ref, result) for ref, result in self._planned]
                added = self._evaluations.unite(session, partial(self._may_have, moved))
                if adoption is not None:
                    self._finish(session, adoption)
                return self._result(refs, moved, added)
        return None

    def _begin(self, session: WriteSession, adoption: AssetAdoption) -> bool:
        """Lay claim to an asset that is not here yet; False: by now it is.

        Refs of an asset that is not here are what a killed transfer or deletion left, and count for
        nothing: unless another may still be at work on them. First they are listed, then the leases,
        then the asset is looked for: who has published a ref holds a lease until the asset is there.
        """
        adoption.begin(session)
        here = Refs(self._repo).list(self._asset)
        busy = session.held_by_others() if here else set()
        if find_record(self._hub, self._offer.record) is not None:
            return False
        self._remains = {
            ref.name: ref.number for ref in here if ref_cell(self._asset, ref.name) not in busy
        }
        return True

    def _finish(self, session: WriteSession, adoption: AssetAdoption) -> None:
        """Give the asset its name, and take away what a dead one had left beside it."""
        offered = {ref.name for ref in self._offer.refs}
        for name, number in self._remains.items():
            if name not in offered:
                with suppress(CellConflictError):
                    self._repo.cells.kill(ref_cell(self._asset, name), number)
        adoption.finish(session)
        found = find_record(self._hub, self._offer.record)
        if found is not None:
            self._check_path(found)

    def preview(self) -> AssetResult:
        if self._known is not None:
            self._check_path(self._known)
        elif (home := find_home(self._hub, self._wanted_home())) is not None:
            self._adoption(home)
        sink = CheckSink(self._repo)
        sink.beats.extend(self._terms.beats)
        for commit in self._terms.required:
            if commit not in self._complete:
                self._repo.read_commit(commit)
                self._complete.add(commit)
        moved = self._copy(sink)
        refs = [result for _, result in self._planned]
        added = sum(self._may_have(moved, measured) for measured in self._measured)
        return self._result(refs, moved, added, dry=True)

    # What is to be done.

    def _wanted_home(self) -> FolderRecord:
        """Return the folder as it is to be called here."""
        folder, path = self._offer.folder, self._terms.as_path
        if path is None:
            return folder
        if path.type != folder.type:
            raise InvalidInputError(
                f"{self._offer.record.path} is a {folder.type}, not a {path.type}"
            )
        owner = path.owner or self._hub.user
        named = self._hub.find_folder(path.type, path.folder, owner=owner)
        fresh = FolderId(new_entity_id())
        return named or replace(
            folder, id=fresh, owner=owner, name=path.folder, labels=(), description=""
        )

    def _adoption(self, home: FolderRecord) -> AssetAdoption:
        path, record = self._terms.as_path, self._offer.record
        name = path.asset if path is not None and path.asset else record.name
        adoption = AssetAdoption(self._hub, home, record, name)
        adoption.check()
        return adoption

    def _check_path(self, known: AssetRecord) -> None:
        path = self._terms.as_path
        if path is not None and (path.folder, path.asset) != (known.folder_name, known.name):
            raise AlreadyExistsError(
                f"{known.type} {self._offer.record.name!r} is here already, as {known.path}",
                id=self._asset,
            )

    def _plan(self) -> list[tuple[RefOffer, RefResult]]:
        here = {ref.name: ref for ref in self._here}
        return [(ref, self._decide(here.get(ref.name), ref)) for ref in self._offer.refs]

    def _decide(self, current: Ref | None, offer: RefOffer) -> RefResult:
        return decide(current, offer, force=self._terms.force, descends=self._descends)

    def _descends(self, new: CommitId, old: CommitId) -> bool:
        """Before anything is copied: what is offered is there, what is live is here."""
        from_there = any(ref.commit == new for ref in self._offer.refs)
        places = (self._source, self._repo) if from_there else (self._repo,)
        return descends(new, old, finder(*places))

    # Doing it.

    def _move(self, session: WriteSession) -> Moved:
        for commit in self._terms.required:
            if commit not in self._complete:
                _require(self._repo, commit, session)
                self._complete.add(commit)
        sink = StoreSink(self._repo, session)
        sink.beats.extend(self._terms.beats)
        try:
            return self._copy(sink)
        finally:
            sink.packer.close()

    def _copy(self, sink: Sink) -> Moved:
        tips = {ref.commit for ref in self._moving}
        if self._offer.whole:
            tips.update(self._measured_tips())
        return move(
            self._source,
            sink,
            sorted(tips),
            self._complete,
            near=self._repo,
            monitor=self._terms.monitor,
        )

    def _settle(self, session: WriteSession, offer: RefOffer, planned: RefResult) -> RefResult:
        if planned.action not in MOVING:
            return planned
        return publish_ref(
            self._repo,
            session,
            self._asset,
            offer,
            by=self._hub.user,
            force=self._terms.force,
            descends=lambda new, old: descends(new, old, finder(self._repo)),
            remains=self._remains.get(offer.name),
        )

    # Evaluations, with the commits that they name.

    def _find_datasets(self) -> dict[AssetId, bool]:
        """Return which datasets are here; what their heads reach is complete."""
        found: dict[AssetId, bool] = {}
        for dataset in {measured.dataset for measured in self._measured}:
            try:
                self._hub.get_asset_by_id(dataset)
            except NotFoundError:
                found[dataset] = False
                continue
            found[dataset] = True
            for ref in Refs(self._repo).list(dataset):
                self._complete.add(ref.commit)
        return found

    def _is_here(self, measured: Measured) -> bool:
        return self._datasets[measured.dataset]

    def _measured_tips(self) -> Iterator[CommitId]:
        """Yield the commits that evaluations bring with them, if the source still has them."""
        find = finder(self._source)
        for measured in self._measured:
            if self._is_here(measured):
                for commit in (measured.model, measured.dataset_commit):
                    if commit not in self._complete and find(commit) is not None:
                        yield commit

    def _may_have(self, moved: Moved, measured: Measured) -> bool:
        return self._is_here(measured) and all(
            commit in moved.commits or commit in self._complete
            for commit in (measured.model, measured.dataset_commit)
        )

    def _result(
        self, refs: list[RefResult], moved: Moved, added: int, *, dry: bool = False
    ) -> AssetResult:
        if self._terms.prune and self._offer.whole and not dry:
            refs = refs + prune(
                self._repo, self._asset, self._here, [ref.name for ref in self._offer.refs]
            )
        known = self._known or (None if dry else find_record(self._hub, self._offer.record))
        return AssetResult(
            id=self._asset,
            path=(known or self._offer.record).path,
            created=self._known is None,
            refs=tuple(refs),
            evaluations=added,
            missing_datasets=len({m.dataset for m in self._measured if not self._is_here(m)}),
            traffic=moved.traffic,
        )


_ARRIVING: set[tuple[int, AssetId]] = set()


@contextmanager
def _alone(repo: Repository, asset: AssetId) -> Iterator[None]:
    """Let no other thread of this process bring the same asset: they would share a lease."""
    key = id(repo), asset
    if key in _ARRIVING:
        raise ConflictError(
            "another thread is just bringing this here: try again when it is there", id=asset
        )
    _ARRIVING.add(key)
    try:
        yield
    finally:
        _ARRIVING.discard(key)


_NOTHING = Moved(Traffic(), frozenset())


def _require(repo: Repository, commit: CommitId, session: WriteSession) -> None:
    try:
        check_complete(repo, commit, session)
    except NotFoundError as error:
        raise NotFoundError(
            f"this builds on commit {commit.hex()}, which is not here: bring what holds it first",
            commit=commit.hex(),
        ) from error
