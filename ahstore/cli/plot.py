"""``ah plot``: the metrics of runs as curves."""

from __future__ import annotations

import shutil

import click

from ahstore.cli.arguments import json_option
from ahstore.cli.emit import emit, emit_json
from ahstore.cli.lazy import Verb
from ahstore.cli.session import Session, pass_session
from ahstore.cli.table import clean

MAX_SHOWN = 20
MAX_COLUMNS = 120


@click.command(cls=Verb)
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.option("-m", "--metric", "metrics", multiple=True, metavar="METRIC", help="Only this metric; repeat for more.")  # fmt: skip
@click.option("--html", "as_html", is_flag=True, help="As one HTML page.")
@json_option
@pass_session
def plot(
    session: Session, names: tuple[str, ...], metrics: tuple[str, ...], as_html: bool, as_json: bool
) -> None:
    """Plot the metrics that the runs NAME… have logged so far, by step: a chart for each metric.

    Several runs come into one chart, a letter each. Of many values those are drawn that matter:
    every peak and dip and both ends.

    \b
    Examples:
      ah plot asset-hub-x7bq2
      ah plot asset-hub-x7bq2 asset-hub-k29dd -m loss
      ah plot asset-hub-x7bq2 asset-hub-k29dd --html > metrics.html
    """  # noqa: D301  \b is a control character here
    from ahstore.jobs.curves import plots_of  # start-up
    from ahstore.jobs.provenance import plot_formats as formats

    store = session.store()
    runs = [store.get_workflow(name) for name in dict.fromkeys(names)]
    plots = list(plots_of((run.name, run.curves(metrics)) for run in runs))
    if as_json:
        emit_json([formats.as_record(found) for found in plots])
        return
    if as_html:
        title = "Metrics of " + ", ".join(run.name for run in runs)
        emit(line + "\n" for line in formats.as_html(plots, title=title))
        return
    if not plots:
        session.info("No metrics")
    columns = min(shutil.get_terminal_size().columns, MAX_COLUMNS)
    for found in plots[:MAX_SHOWN]:
        emit(clean(line) + "\n" for line in formats.as_text(found, columns=columns))
    if len(plots) > MAX_SHOWN:
        session.info(f"{len(plots)} metrics in all: choose by -m, or see all with --html")
