"""The page's own style, beside what it shares with the scan report."""

from __future__ import annotations

import base64
import hashlib

from vedette.sinks.html_page import STYLE as SHARED

STYLE = f"""{SHARED}
h3 {{ font-size: 1rem; margin: 1.5rem 0 .4rem; overflow-wrap: anywhere; }}
h3 small {{ color: var(--muted); font-weight: 400; }}
section > h2 {{ border-top: 1px solid var(--line); padding-top: 1.25rem; }}
a {{ color: var(--accent); }}
nav {{ margin: 1rem 0; }}
nav ul {{ list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: 0;
  margin: .2rem 0; }}
.caption, .reading {{ color: var(--muted); font-size: .9rem; max-width: 62rem; }}
.reading b {{ color: var(--text); }}
.caption, .note p, .notice p {{ overflow-wrap: anywhere; }}
.notice {{
  background: var(--block-tint); border: 1px solid var(--block); border-radius: 6px;
  padding: .6rem .9rem; margin: 1rem 0; font-weight: 600; overflow-wrap: anywhere;
}}
.note.warn {{ background: var(--review-tint); overflow-wrap: anywhere; }}
.note.warn p {{ margin: .1rem 0; }}
.note.warn .who {{ color: var(--muted); font-size: .87rem; }}
table {{ border-collapse: collapse; font-size: .9rem; background: var(--card); }}
.scroll {{
  overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0 1rem;
  background: var(--card); width: fit-content; max-width: 100%;
}}
th, td {{
  text-align: left; vertical-align: top; padding: .35rem .7rem; max-width: 24rem;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word;
}}
thead th {{ color: var(--muted); font-weight: 600; vertical-align: bottom; }}
tbody tr:last-child > * {{ border-bottom: 0; }}
tbody th {{ font-weight: 600; min-width: 6rem; }}
tbody th + th {{ font-weight: 400; }}
tr > th:first-child {{ position: sticky; left: 0; background: var(--card); z-index: 1; }}
tr.first > * {{ border-top: 2px solid var(--line); }}
thead + tbody tr:first-child > * {{ border-top: 0; }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
td.n {{ min-width: 4.5rem; }}
.n span {{ white-space: nowrap; }}
.words {{ min-width: 7rem; }}
.ci {{ color: var(--muted); font-size: .92em; }}
.scroll.long {{ max-height: 36rem; overflow-y: auto; }}
.long thead th {{ position: sticky; top: 0; background: var(--card); z-index: 2; }}
.long thead th:first-child {{ z-index: 3; }}
td small, th small {{
  font-weight: 400; display: block; color: var(--muted); line-height: 1.35;
}}
.plots {{
  display: grid; gap: .9rem; margin: .75rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr));
}}
figure {{ margin: 0; }}
.plot {{
  background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .7rem .9rem;
}}
.plot img {{ display: block; width: 100%; max-width: 36rem; height: auto; margin: .3rem auto 0; }}
.plot figcaption, .plot .caption {{ overflow-wrap: anywhere; }}
.plot.wide {{ grid-column: 1 / -1; }}
.plot .panels {{
  display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
}}
.plot h3, .plot h4 {{ margin: 0; font-size: .95rem; }}
.plot h4 {{ margin-top: .8rem; font-weight: 600; color: var(--muted); overflow-wrap: anywhere; }}
.pictures {{ display: flex; flex-wrap: wrap; gap: .6rem; margin: .4rem 0; padding: 0;
  list-style: none; }}
.pictures li {{ width: 112px; font-size: .75rem; color: var(--muted); overflow-wrap: anywhere; }}
.pictures img {{ display: block; width: auto; max-width: 112px; margin: 0 0 .2rem; padding: 0;
  border-radius: 4px; }}
.keys {{ font-size: .85rem; margin: .3rem 0; padding-left: 1.1rem; overflow-wrap: anywhere; }}
@media print {{
  .plot, tr {{ break-inside: avoid; }}
  nav {{ display: none; }}
  .scroll, .scroll.long {{ overflow: visible; max-height: none; }}
}}
"""


def head(title: str) -> str:
    """Everything before the content; ``title`` is HTML already.

    The policy allows this style by its hash and pictures inside the page, and nothing else: no
    script, and no request to anywhere.
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'sha256-{digest}'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="robots" content="noindex">\n'
        # An empty icon, else a browser that has the page from a server asks it for one.
        '<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
