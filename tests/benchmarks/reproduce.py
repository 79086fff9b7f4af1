"""Reproduce the published tables of Deep Image Prior with this program.

    python tests/benchmarks/reproduce.py --data DIR --preset balanced --only 'denoise25,kate'

DIR holds the pictures (see `tables`) and, for comparison, ``published_scores.json``. Each picture
is restored as a user's would be, its truth unknown to the engine, and scored as it was saved. Rows
are kept: a run that was killed goes on where it was.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent))  # python -P leaves it out

from check import check
from measuring import Bench, Row
from page import to_html
from published import Published
from report import Section, sections, to_json, to_markdown
from results import Asked, Results
from tables import Table, choose, find_table

from dip_engine import __version__
from dip_engine.client import Engine
from dip_engine.errors import Cancelled, InputError
from dip_engine.job import MAX_SEED, Settings
from dip_engine.tasks import DTYPES, PRESETS


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all measured, 1 some failed, 2 wrong usage, 130 interrupted.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder of the pictures.",
)
@click.option("--preset", type=click.Choice(PRESETS), default="balanced", show_default=True)
@click.option(
    "--only",
    metavar="SET/PICTURE,…",
    default="",
    help="Only these sets or pictures; shell globs are fine, e.g. 'set5*,*/lena'.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the rows, the report and the pictures.  [default: reproduce-results/PRESET]",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the report as JSON.  [default: OUT/report.json]",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps …")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True)
@click.option("--dtype", type=click.Choice(DTYPES), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1, 4096), help="CPU threads.  [default: all free]")
@click.option("--again", "--runs-anew", "again", is_flag=True, help="Measure also what is there.")
@click.option("--check", "check_only", is_flag=True, help="Compare the scoring and end.")
@click.option("--engine", "command", metavar="COMMAND", hidden=True, help="Starts the engine.")
@click.pass_context
def main(
    context: click.Context,
    /,
    data: Path,
    preset: str,
    only: str,
    out: Path | None,
    json_file: Path | None,
    device: str,
    seed: int,
    dtype: str,
    threads: int | None,
    again: bool,
    check_only: bool,
    command: str | None,
) -> None:
    """Measure this program on the pictures of the published tables.

    The report compares with the published scores and tells what the automatic stop gave away. It
    is written after each picture, and holds all rows of OUT that were asked for in the same way.
    """
    try:
        published = Published(data)
        if check_only:
            context.exit(_check(data, published))
        chosen = choose(data, [name.strip() for name in only.split(",") if name.strip()])
        settings = Settings(preset=preset, seed=seed, device=device, dtype=dtype, threads=threads)
    except InputError as error:
        raise click.UsageError(str(error)) from error
    out = Path("reproduce-results", preset) if out is None else out
    asked = Asked(preset, seed, device, dtype, __version__)
    try:
        out.mkdir(parents=True, exist_ok=True)
        results = Results(out / "rows.jsonl", asked)
        report = _Report(out, json_file or out / "report.json", data, published, asked)
        try:
            with Engine(command and shlex.split(command), log=out / "engine.log") as engine:
                bench = Bench(engine, data, settings, out / asked.folder)
                _measure(chosen, bench, results, report.write, again=again)
        finally:
            found = report.write(results.rows)
            click.echo(to_markdown(found, asked), nl=False)
    except OSError as error:
        raise click.ClickException(f"The results cannot be kept: {error}.") from error
    except KeyboardInterrupt:
        click.echo("Interrupted; the same command goes on from here.", err=True)
        context.exit(Cancelled.exit_code)
    context.exit(0 if all(results.has(table.name, name) for table, name in chosen) else 1)


def _check(data: Path, published: Published) -> int:
    """Show how our scores compare with published ones; return the exit code."""
    wrong = 0
    for finding in check(data, published):
        click.echo(str(finding))
        wrong += not finding.agrees
    click.echo(f"{wrong} differ." if wrong else "All agree.")
    return int(wrong > 0)


def _measure(
    chosen: list[tuple[Table, str]],
    bench: Bench,
    results: Results,
    write: Callable[[list[Row]], object],
    *,
    again: bool,
) -> None:
    for number, (table, picture) in enumerate(chosen, 1):
        name = f"[{number}/{len(chosen)}] {table.name}/{picture}"
        if not again and results.has(table.name, picture):
            click.echo(f"{name}: is there", err=True)
            continue
        row = bench.measure(table, picture)
        results.add(row)
        write(results.rows)
        click.echo(f"{name}: {_in_short(row)}", err=True)


def _in_short(row: Row) -> str:
    if "error" in row:
        return f"failed: {row['error']}"
    gap = f"stop gap {row['stop_gap']:.2f}"
    return f"{row['psnr']:.2f} dB, {gap}, {row['iterations']} iterations, {row['seconds']:.1f} s"


class _Report:
    """Writes the three forms of the report."""

    def __init__(
        self, out: Path, json_file: Path, data: Path, published: Published, asked: Asked
    ) -> None:
        self.out = out
        self.json_file = json_file
        self.data = data
        self.published = published
        self.asked = asked

    def write(self, rows: list[Row]) -> list[Section]:
        """Write them and return what they are of.

        Raises:
            OSError: they cannot be written.
        """
        others = self.published.fields
        known = [row | others(find_table(row["set"]), row["picture"]) for row in rows]
        found = sections(known, self.data)
        values = json.dumps(to_json(found, self.asked), indent=2, ensure_ascii=False)
        self.json_file.write_text(values + "\n", encoding="utf-8")
        markdown = to_markdown(found, self.asked)
        (self.out / "report.md").write_text(markdown, encoding="utf-8")
        (self.out / "report.html").write_text(to_html(found, self.asked), encoding="utf-8")
        return found


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a time limit ends it in order, too
    main()
