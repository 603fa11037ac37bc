"""Evaluations on their way into a bundle: all of an asset, or those of some commits' history."""

from __future__ import annotations

from dataclasses import replace

from ahstore.codec.digests import sha256
from ahstore.errors import CorruptError, InvalidInputError
from ahstore.hub.evaluation_rows import EvaluationReader
from ahstore.hub.payload import PAYLOAD, read_row, record_of
from ahstore.ids import CommitId, PageId, parse_address
from ahstore.objects.page import KEY
from ahstore.objects.tree import Row, Tree, build
from ahstore.packs.place import Kind
from ahstore.transfer.evaluations import Measured
from ahstore.transfer.history import complete_at
from ahstore.transfer.offers import AssetOffer
from ahstore.transfer.sinks import Sink
from ahstore.versions.readahead import ReadAhead
from ahstore.versions.repository import Repository


class ExportedEvaluations:
    """The evaluations that go with an offer.

    Attributes:
        offer: the offer, with the root of their tree.
        measured: on what.
    """

    def __init__(self, repo: Repository, offer: AssetOffer) -> None:
        self._repo = repo
        self._pages: dict[PageId, bytes] = {}
        self._rows: list[Row] = []
        if offer.evaluations is not None:
            self._rows = list(Tree(ReadAhead(repo), offer.evaluations).scan())
        if not offer.whole:
            kept = complete_at(repo, [ref.commit for ref in offer.refs])
            self._rows = [row for row in self._rows if _commit(row) in kept]
        root = build(self._rows, self) if self._rows else None
        self.offer = replace(offer, evaluations=root)
        reader = EvaluationReader(offer.record, lambda _, path: path)
        records = (reader.read(row[KEY], read_row(repo, row)) for row in self._rows)
        self.measured = {Measured(r.model_commit, r.dataset, r.dataset_commit) for r in records}

    def put_page(self, data: bytes) -> PageId:
        """Keep a page; an asset has few of evaluations."""
        page = PageId(sha256(data))
        self._pages[page] = data
        return page

    def put(self, sink: Sink) -> None:
        """Put the tree and its records."""
        for row in self._rows:
            if len(row) > PAYLOAD and type(row[PAYLOAD]) is bytes:
                record = record_of(row[PAYLOAD])
                sink.put(Kind.RECORD, record, self._repo.read_record(record))
        for page, data in self._pages.items():
            sink.put(Kind.PAGE, page, data)


def _commit(row: Row) -> CommitId:
    try:
        return CommitId(parse_address(row[KEY].partition("/")[0]))
    except InvalidInputError:
        raise CorruptError(f"the row {row[KEY][:200]!r} is not an evaluation") from None
