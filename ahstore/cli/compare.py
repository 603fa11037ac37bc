"""``ah compare``: models side by side, by what was measured of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.paths import PATH
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean, table

if TYPE_CHECKING:
    from ahstore.jobs.provenance.comparison import Comparison


@click.command(cls=Verb)
@click.argument("paths", type=PATH, metavar="MODEL[:REF]…", nargs=-1, required=True)
@click.option("-d", "--dataset", metavar="DATASET[:REF]", help="Only what was measured on it.")
@click.option("-m", "--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric; repeat for more.")  # fmt: skip
@click.option("--sort", metavar="NAME", help="Best first by this metric.")
@click.option("--along", is_flag=True, help="The commits of MODEL:BRANCH, oldest first.")
@click.option("--chart", metavar="NAME", help="Bars of this metric.")
@click.option("--csv", "form", flag_value="csv", help="As CSV.")
@click.option("--html", "form", flag_value="html", help="As one HTML page with charts.")
@json_option
@pass_session
def compare(
    session: Session,
    paths: tuple[str, ...],
    dataset: str | None,
    metrics: tuple[str, ...],
    sort: str | None,
    along: bool,
    chart: str | None,
    form: str | None,
    as_json: bool,
) -> None:
    """Compare models by their evaluations: a line for each commit and dataset.

    A path is a model (all of its evaluated commits), a version of one, or model/FOLDER (all models
    in it). Parameters of the trainings that are not the same for all are shown too.

    \b
    Examples:
      ah compare model/image-classification -d image-classification/mnist --sort accuracy
      ah compare image-classification/mnist-cnn-keras:main --along --chart accuracy
      ah compare image-classification/mnist-cnn-keras --html > comparison.html
    """  # noqa: D301  \b is a control character here
    from ahstore.jobs.provenance import comparison_formats as formats  # start-up

    wanted = list(dict.fromkeys([*metrics, *([chart] if chart else [])])) if metrics else []
    found = session.store().compare(paths, dataset=dataset, metrics=wanted, sort=sort, along=along)
    if as_json:
        emit_json([formats.as_record(line) for line in found.lines])
    elif form == "csv":
        emit(formats.as_csv(found))
    elif form == "html":
        emit(line + "\n" for line in formats.as_html(found))
    elif chart:
        emit(clean(line) + "\n" for line in formats.as_bars(found, chart))
    else:
        _table(session, found)


def _table(session: Session, found: Comparison) -> None:
    from ahstore.jobs.provenance import comparison_formats as formats  # start-up

    if not found.lines:
        session.info("No evaluations")
        return
    rows = ([clean(cell) for cell in formats.cells(found, line)] for line in found.lines)
    titles = [clean(title) for title in formats.titles(found)]
    emit(table(titles, rows, right=found.metrics))
