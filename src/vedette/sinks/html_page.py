"""The report page's own style, script and head, which its Content-Security-Policy names by hash."""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --sunk: #eceff3; --line: #d8dde4;
  --text: #1b2027; --muted: #57606c; --accent: #2456c4;
  --allow: #1a7f37; --review: #8f5b00; --block: #b3261e;
  --review-tint: #fdf0d5; --block-tint: #fce4e2; --failed: #5b4bb0; --failed-tint: #ebe8fa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --card: #191d23; --sunk: #242a32; --line: #303742;
    --text: #e5e9ef; --muted: #9ea8b5; --accent: #8ab0ff;
    --allow: #5cc873; --review: #e8b54a; --block: #ff8077;
    --review-tint: #3a2d10; --block-tint: #431c1a; --failed: #b3a6ff; --failed-tint: #2a2548;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 88rem; margin: 0 auto; padding: 1.75rem 1.5rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .35rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .75rem; }
h2 small, .muted { color: var(--muted); font-weight: 400; }
p { margin: .4rem 0; }
code, .key, .label { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
code, .label { font-size: .88em; }
.key { overflow-wrap: anywhere; }
.key .folder { color: var(--muted); font-weight: 400; }
.facts { color: var(--muted); font-size: .87rem; margin: .3rem 0 0; overflow-wrap: anywhere; }
.facts b { color: var(--text); font-weight: 600; }
.facts > span:not(:last-child)::after { content: " \\00b7"; }
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 1.25rem 0 .6rem;
}
.tile {
  background: var(--card); border: 1px solid var(--line); border-top: 3px solid var(--muted);
  border-radius: 8px; padding: .7rem .9rem;
}
.tile b {
  display: block; font-size: 1.75rem; line-height: 1.2; font-variant-numeric: tabular-nums;
}
.tile small { display: block; color: var(--muted); font-size: .8rem; line-height: 1.35; }
.tile.allow { border-top-color: var(--allow); }
.tile.review { border-top-color: var(--review); }
.tile.block { border-top-color: var(--block); }
.tile.failed { border-top-color: var(--failed); }
.split { display: block; width: 100%; height: 8px; border-radius: 4px; background: var(--sunk); }
.split .allow { fill: var(--allow); }
.split .review { fill: var(--review); }
.split .block { fill: var(--block); }
.note {
  background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--accent);
  border-radius: 6px; padding: .6rem .9rem; margin: 1rem 0;
}
.note.warn { border-left-color: var(--review); }
.histograms {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .75rem;
}
.histogram {
  display: flex; flex-direction: column; justify-content: space-between; margin: 0;
  background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .65rem .8rem .5rem;
}
.histogram figcaption {
  display: flex; gap: .6rem; justify-content: space-between; font-weight: 600;
}
.histogram figcaption small { color: var(--muted); font-weight: 400; white-space: nowrap; }
.histogram svg { display: block; width: 100%; height: auto; margin-top: .35rem; }
.histogram .hit { fill: transparent; }
.histogram g:hover .hit { fill: var(--sunk); }
.histogram .bar { fill: var(--accent); }
.histogram line { stroke: var(--line); }
.histogram text { fill: var(--muted); font-size: 9px; }
.controls { display: none; }
[data-ready] .controls {
  display: flex; flex-wrap: wrap; gap: .5rem 1.1rem; align-items: center;
  position: sticky; top: 0; z-index: 2; margin: 0 -.5rem .75rem; padding: .5rem;
  background: var(--page); border-bottom: 1px solid var(--line);
}
.controls fieldset { display: flex; margin: 0; padding: 0; border: 0; }
.controls input { position: absolute; opacity: 0; pointer-events: none; }
.controls select, .controls button, .controls fieldset label {
  font: inherit; font-size: .9rem; color: inherit; background: var(--card);
  border: 1px solid var(--line); padding: .25rem .7rem; cursor: pointer;
}
.controls select, .controls button { border-radius: 6px; max-width: 100%; }
.controls fieldset label:not(:last-child) { border-right: 0; }
.controls fieldset label:first-of-type { border-radius: 6px 0 0 6px; }
.controls fieldset label:last-of-type { border-radius: 0 6px 6px 0; }
.controls input:checked + label {
  background: var(--accent); color: var(--card); border-color: var(--accent);
}
.controls output { color: var(--muted); font-size: .9rem; margin-left: auto; }
:focus-visible, .controls input:focus-visible + label {
  outline: 2px solid var(--accent); outline-offset: 2px;
}
.cards {
  display: grid; gap: .9rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr));
}
.card {
  display: flex; gap: 1rem; background: var(--card); border: 1px solid var(--line);
  border-left: 4px solid var(--review); border-radius: 8px; padding: .9rem;
}
.card.block { border-left-color: var(--block); }
.picture { flex: 0 0 240px; display: flex; align-items: flex-start; justify-content: center; }
.body { flex: 1 1 auto; min-width: 0; }
.card h3 { font-size: .95rem; line-height: 1.4; margin: 0 0 .5rem; font-weight: 600; }
.badge {
  display: inline-block; border-radius: 4px; padding: 0 .5em; margin-right: .35em;
  font-size: .8rem; font-weight: 700; letter-spacing: .02em;
}
.badge.review { color: var(--review); background: var(--review-tint); }
.badge.block { color: var(--block); background: var(--block-tint); }
.badge.allow { color: var(--allow); background: var(--sunk); }
.reasons, .regions { list-style: none; margin: 0 0 .5rem; padding: 0; font-size: .9rem; }
.reasons li { margin-bottom: .45rem; }
.reasons .gauge { margin-top: .15rem; }
.reasons div.muted { margin-top: .15rem; }
.line { display: flex; justify-content: space-between; gap: .75rem; overflow-wrap: anywhere; }
.line span:last-child { white-space: nowrap; font-variant-numeric: tabular-nums; }
.gauge { display: block; width: 100%; height: 6px; border-radius: 3px; background: var(--sunk); }
.gauge .p { fill: var(--review); }
.block .gauge .p { fill: var(--block); }
.gauge .threshold { fill: var(--text); }
.regions { border-top: 1px solid var(--line); padding-top: .4rem; font-size: .85rem; }
.regions .number {
  display: inline-block; min-width: 1.35em; margin-right: .3em; padding: 0 .25em;
  border-radius: 3px; background: #101317; color: #ffd54a;
  text-align: center; font-weight: 700; font-size: .9em;
}
.partly { color: var(--failed); font-size: .87rem; }
/* A picture is veiled by default and by style alone: only the script's aria-pressed lifts it. */
.thumb {
  display: inline-flex; align-items: center; justify-content: center; position: relative;
  min-width: 56px; min-height: 40px; max-width: 100%; padding: 0; border: 0; border-radius: 6px;
  overflow: hidden; background: var(--sunk); color: inherit; font: inherit;
}
[data-ready] .thumb { cursor: pointer; }
.frame { display: block; position: relative; overflow: hidden; max-width: 100%; }
.frame img {
  display: block; max-width: 100%; height: auto; user-select: none; -webkit-user-drag: none;
  filter: blur(18px) grayscale(1) contrast(.65); transform: scale(1.2);
}
.thumb[aria-pressed="true"] img { filter: none; transform: none; }
[data-ready] .thumb::after {
  content: "Show"; position: absolute; right: 6px; bottom: 6px; padding: 0 .55em;
  border-radius: 4px; font-size: .75rem; line-height: 1.6;
  background: rgb(16 19 23 / .78); color: #fff;
}
[data-ready] .thumb[aria-pressed="true"]::after { content: "Hide"; }
.boxes { position: absolute; inset: 0; width: 100%; height: 100%; }
.boxes rect { fill: none; stroke: #ffd54a; stroke-width: 1.5px; vector-effect: non-scaling-stroke; }
.boxes rect.under { stroke: #101317; stroke-width: 4px; }
.boxes text { fill: #ffd54a; stroke: #101317; paint-order: stroke; font-weight: 700; }
.absent {
  display: flex; align-items: center; justify-content: center; width: 100%; min-height: 5rem;
  border-radius: 6px; background: var(--sunk); color: var(--muted); font-size: .85rem;
}
.failure {
  background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--failed);
  border-radius: 8px; padding: .75rem .9rem; margin-bottom: .75rem;
}
.failure h3 { margin: 0; font-size: .95rem; }
.failure ul { list-style: none; margin: .5rem 0 0; padding: 0; font-size: .9rem; }
.failure li { border-top: 1px solid var(--line); padding: .35rem 0; }
.count {
  color: var(--failed); background: var(--failed-tint);
  border-radius: 4px; padding: 0 .45em; font-size: .8rem;
}
@media (max-width: 40rem) {
  main { padding: 1.1rem .9rem 2rem; }
  .card { flex-direction: column; }
  .picture { flex: none; }
  .tile.total { grid-column: 1 / -1; }
  [data-ready] .controls { position: static; }
  .controls output { margin-left: 0; }
}
@media print {
  :root { --page: #fff; --card: #fff; }
  main { max-width: none; padding: 0; }
  .tiles { grid-template-columns: repeat(5, 1fr); }
  [data-ready] .controls, [data-ready] .thumb::after { display: none; }
  .cards { display: block; }
  .card { margin-bottom: .6rem; }
  .card, .histogram, .tile, .failure li { break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

SCRIPT = """
"use strict";
(() => {
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const thumbs = all(".thumb");
  const cards = all(".card");
  const category = document.getElementById("category");
  const shown = document.getElementById("shown");
  const press = (thumb, on) => thumb.setAttribute("aria-pressed", String(on));
  const hideAll = () => thumbs.forEach((thumb) => press(thumb, false));
  const filter = () => {
    const action = document.querySelector("input[name=action]:checked").value;
    let count = 0;
    for (const card of cards) {
      const fits = (!action || card.dataset.action === action) &&
        (!category.value || card.dataset.categories.split(" ").includes(category.value));
      card.hidden = !fits;
      count += fits;
    }
    hideAll();  // what comes back into view comes back veiled
    shown.textContent = `${count} of ${cards.length} shown`;
  };
  for (const thumb of thumbs) {
    const veiled = () => thumb.getAttribute("aria-pressed") !== "true";
    thumb.addEventListener("click", () => press(thumb, veiled()));
  }
  document.getElementById("hide")?.addEventListener("click", hideAll);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideAll(); });
  if (category) {
    category.addEventListener("change", filter);
    all("input[name=action]").forEach((input) => input.addEventListener("change", filter));
    filter();
  }
  document.documentElement.dataset.ready = "1";
})();
"""


def head(title: str) -> str:
    """Everything before the content; ``title`` is HTML already.

    The policy allows our own style and script by their hash, pictures inside the page, and nothing
    else: whatever a hostile name managed to put into the page would neither run nor load anything.
    """
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'"
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


def foot() -> str:
    """Everything after the content."""
    return f"</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"


def _hash(block: str) -> str:
    digest = hashlib.sha256(block.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
