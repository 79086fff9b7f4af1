"""The report as one page: the tables, and input, result and truth of every picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from string import Template
from urllib.parse import quote

from measuring import Row
from report import COLUMNS, NOTE, Section, cells, count, machine, stop_gap, versions
from results import Asked
from tables import Table

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ground: #fbfbfa; --text: #1d1e20; --quiet: #6b6d70;
  --rule: #e2e2df; --card: #fff; --good: #17703c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #17181a; --text: #e4e4e2; --quiet: #96989c; --rule: #303236; --card: #1f2023;
    --good: #6fcf97; --bad: #f2948c; }
}
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 76rem; background: var(--ground);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; font-weight: 650; }
h2 { margin: 3rem 0 .5rem; font-size: 1.2rem; }
h2 code { color: var(--quiet); font-size: .85em; font-weight: 400; }
p { margin: .3rem 0; color: var(--quiet); }
nav { margin: 1rem 0; display: flex; flex-wrap: wrap; gap: .3rem 1rem; }
a { color: inherit; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid var(--rule); }
th { color: var(--quiet); font-weight: 500; vertical-align: bottom; }
th:first-child, td:first-child { padding-left: 0; text-align: left; white-space: nowrap; }
tr.mean td { border: 0; font-weight: 650; }
td.error { color: var(--bad); text-align: left; }
.good { color: var(--good); } .bad { color: var(--bad); }
.pictures { display: grid; gap: 1.2rem; margin-top: 1.5rem; }
article { padding: .9rem; border: 1px solid var(--rule); border-radius: .6rem;
  background: var(--card); }
article h3 { margin: 0 0 .6rem; font-size: 1rem; }
article h3 span { color: var(--quiet); font-size: .9em; font-weight: 400; }
.row { display: grid; grid-template-columns: repeat(3, 1fr); gap: .7rem; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: .3rem; }
img.small { image-rendering: pixelated; }
figcaption { margin-top: .3rem; color: var(--quiet); font-size: .85rem; }
</style>
<h1>$title</h1>
<p>$facts</p>
<p>$gap</p>
<p>Ours is <span class="good">green</span> where it reaches the better of published DIP and
classical, else <span class="bad">red</span>. A picture opens at its full size.</p>
<nav>$links</nav>
$sections
</html>
""")


def to_html(found: Sequence[Section], asked: Asked) -> str:
    """Return the page; it looks for the pictures where the rows say, below its own folder."""
    title = f"Deep Image Prior: the published tables, preset {asked.preset}"
    here = machine()
    facts = [f"{name} {value}" for name, value in asdict(asked).items() if name not in ("preset",)]
    facts += [f"{name} {value}" for name, value in versions().items()]
    facts.append(f"{here['processor']}, {here['cores']} cores")
    links = (f'<a href="#{s.table.name}">{escape(s.table.title)}</a>' for s in found)
    return _PAGE.substitute(
        title=escape(title),
        facts=escape(" · ".join(facts)),
        gap=escape(f"{stop_gap(found)} {NOTE}"),
        links="".join(links),
        sections="\n".join(map(_section, found)),
    )


def _section(section: Section) -> str:
    table = section.table
    head = "".join(f"<th>{escape(text)}</th>" for text in ("picture", *section.headings))
    rows = "\n".join(map(_row, section.rows))
    mean = ""
    if section.measured:
        entries = [f"mean of {count(section)}", *cells(section.means)]
        mean = f'<tr class="mean">{"".join(f"<td>{escape(text)}</td>" for text in entries)}</tr>'
    pictures = "\n".join(_article(row, table) for row in section.measured)
    return f"""<section id="{table.name}">
<h2>{escape(table.title)} <code>{table.name}</code></h2>
<div class="scroll"><table>
<tr>{head}</tr>
{rows}
{mean}
</table></div>
<p>{escape(table.note)}</p>
<div class="pictures">
{pictures}
</div>
</section>"""


def _row(row: Row) -> str:
    name = f"<td>{escape(row['picture'])}</td>"
    if "error" in row:
        text = escape(str(row["error"]))
        return f'<tr>{name}<td class="error" colspan="{len(COLUMNS)}">{text}</td></tr>'
    entries = []
    for (heading, _, _), text in zip(COLUMNS, cells(row), strict=True):
        mark = f' class="{_verdict(row)}"' if heading == "ours" else ""
        entries.append(f"<td{mark}>{escape(text)}</td>")
    return f"<tr>{name}{''.join(entries)}</tr>"


def _verdict(row: Row) -> str:
    """Compare with the better of what others reached."""
    others = [row[name] for name in ("published", "classical") if row[name] is not None]
    if not others:
        return ""
    return "good" if row["psnr"] >= max(others) else "bad"


def _article(row: Row, table: Table) -> str:
    about = f"{row['psnr']:.2f} dB, {row['iterations']} iterations, {row['stop_reason']}"
    simple = row.get("psnr_simple") if table.simple_title == "input" else None
    captions = {
        "input": "input" if simple is None else f"input, {simple:.2f} dB",
        "result": f"result, {row['psnr']:.2f} dB",
        "truth": "truth",
    }
    figures = []
    for kind, caption in captions.items():
        source = quote(row["pictures"][kind])
        target = quote(row["pictures"]["saved"]) if kind == "result" else source
        small = ' class="small"' if kind == "input" and table.factor > 1 else ""
        picture = f'<img{small} src="{source}" alt="{kind}" loading="lazy">'
        figures.append(
            f'<figure><a href="{target}">{picture}</a>'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    return f"""<article>
<h3>{escape(row["picture"])} <span>{escape(about)}</span></h3>
<div class="row">{"".join(figures)}</div>
</article>"""
