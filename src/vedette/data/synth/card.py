"""The card of a stand-in set: its README, which says first of all what it is not."""

from __future__ import annotations

from vedette.data.synth.plan import CELLS, Plan

NOTICE = "stand-in: drawn pictures, not UnsafeBench"
"""Printed wherever numbers of such a set are."""
_FILES = {
    "parquet": "data/{split}-*.parquet",
    "folder": "{split}/**",
    "webdataset": "{split}-*.tar",
}


def card(plan: Plan, fmt: str) -> str:
    """The text of ``README.md``, with the header by which the hub's tools find the splits."""
    recipe = plan.recipe
    splits = "".join(
        f"      - split: {split}\n        path: {_FILES[fmt].format(split=split)}\n"
        for split in plan.splits()
    )
    sizes = ", ".join(f"{split} {count:,}" for split, count in plan.splits().items())
    rows = "".join(
        f"| {cell.source} | {'unsafe' if cell.unsafe else 'safe'} | {cell.category} | {count} |\n"
        for cell, count in zip(CELLS, plan.counts, strict=True)
    )
    return f"""---
pretty_name: Stand-in for UnsafeBench (drawn pictures)
license: cc0-1.0
tags: [synthetic, stand-in]
configs:
  - config_name: default
    data_files:
{splits}---

# A stand-in for UnsafeBench: drawn pictures, not UnsafeBench

No picture here shows anything unsafe, and none comes from UnsafeBench. They are drawn: gradients,
brush strokes, clutter, and abstract figures. A picture labelled unsafe carries the glyph of its
category, a figure of plain geometry that means nothing outside this set. Columns, categories,
sources and proportions are those of UnsafeBench, so that programs can be tried on it.

**A number measured on this set says that a program runs and that it can learn. It says nothing
about image safety. Call the set a stand-in wherever such a number is shown.**

Made by `{recipe.stand_in}`; {recipe.total:,} pictures: {sizes}.

| source | label | category | pictures |
|---|---|---|---|
{rows}"""
