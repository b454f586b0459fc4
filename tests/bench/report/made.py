"""Results for the tests of reports: every kind of table and figure, over real predictions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.pictures import drawn, encoded
from vedette.bench.evidence import Caveat, Cell, Evidence, Figure, Series, Table
from vedette.bench.predictions import Predictions
from vedette.bench.result import DataCard, Result, versions
from vedette.taxonomy import Category

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>\u202egnp.exe|`*'
STAND_IN = DataCard(
    given="synth:0.2", sha256="ab" * 32, images=44, stand_in=True, split="test", facts={}
)
SOURCES = ("Lexica", "Laion5B")


def picture(number: int) -> bytes:
    """The bytes of the picture of ``img/<number>.png``."""
    return encoded(drawn(number))


def key(number: int) -> str:
    return f"img/{number:03d}.png"


def folder(root: Path, n: int = 40) -> Path:
    """A set with the pictures that the results name: labelled by folder."""
    for number in range(n):
        path = root / ("safe" if number % 2 else "unsafe") / key(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return root


def predictions(seed: int = 0, n: int = 40, prefix: bool = False) -> Predictions:
    """Of a classifier that sees three categories and is right more often than not."""
    rng = np.random.default_rng(seed)
    k = len(Category)
    covered = np.zeros(k, dtype=np.bool_)
    covered[:3] = True
    unsafe = np.arange(n) % 2 == 0
    category = np.arange(n) % 3
    labels = np.zeros((n, k), dtype=np.bool_)
    labels[np.flatnonzero(unsafe), category[unsafe]] = True
    p = np.zeros((n, k), dtype=np.float32)
    p[:, :3] = rng.beta(2, 3, size=(n, 3))
    p[np.arange(n), category] = np.clip(rng.normal(0.4 + 0.25 * unsafe, 0.2), 0, 1)
    folders = [("safe/" if i % 2 else "unsafe/") if prefix else "" for i in range(n)]
    return Predictions(
        keys=tuple(f"{folders[i]}{key(i)}" for i in range(n)),
        sha256=tuple(hashlib.sha256(picture(i)).hexdigest() for i in range(n)),
        source=tuple(SOURCES[i % 2] for i in range(n)),
        category=category.astype(np.int64),
        labels=labels,
        unsafe=unsafe,
        p=p,
        flagged=p >= 0.5,
        covered=covered,
        group=np.arange(n, dtype=np.int64),
        failed=(("img/broken.png", "truncated"), ("img/none.png", "not_found")),
    )


def table_4(model: str, shift: float = 0.0) -> Table:
    """As wide as the paper's Table 4, with intervals, the paper's numbers and gaps."""
    paper = {"Laion5B": 0.641, "Lexica": 0.418}
    rows = {}
    for at, source in enumerate(("Laion5B", "Lexica")):
        cells = []
        for place, category in enumerate(Category):
            value = 0.42 + 0.05 * place - 0.1 * at + shift
            cell = Cell(value, value - 0.06, value + 0.05, paper[source], 100 + place)
            cells.append(cell if category.position not in (4, 10) else Cell(None))
        cells.append(Cell(0.634 + shift, 0.59, 0.68, note="pooled", n=1200))
        rows[source] = cells
    return Table(
        "f1",
        "F1 of unsafe",
        [*(category.value for category in Category), "overall"],
        rows,
        row="source",
        caption="At the threshold as shipped. Each image is asked about its own category.",
        like="Table 4",
        model_is_row=True,
    )


def thresholds(
    caption: str = "On 200 images that are not in the tables above.", best: float = 0.3137
) -> Table:
    return Table(
        "thresholds",
        "Thresholds",
        ["threshold", "F1", "chosen on", "p"],
        {
            "as shipped": [Cell(0.5), Cell(0.634, 0.59, 0.68), Cell("nothing"), Cell(None)],
            "best": [Cell(best), Cell(0.66, 0.61, 0.7), Cell("validation"), Cell(0.00031)],
        },
        row="threshold",
        caption=caption,
    )


def every_figure(seed: int = 0, prefix: bool = False) -> list[Figure]:
    """One of each kind, and those that are hard to draw."""
    rng = np.random.default_rng(seed)
    steps = [i / 10 for i in range(11)]
    curve = [min(1.0, s ** (1 + 0.3 * seed)) for s in steps]
    clouds = [
        Series(
            name,
            [round(float(v), 3) for v in rng.normal(place * 2, 1, 150)],
            [round(float(v), 3) for v in rng.normal(place, 1, 150)],
        )
        for place, name in enumerate(SOURCES)
    ]
    edges = [i / 20 for i in range(21)]
    shares = [
        Series(
            name,
            edges,
            [round(math.exp(-(((x - at) / 0.2) ** 2)), 4) for x in edges[:-1]],
        )
        for name, at in (("clean", 0.8), ("fooled", 0.4 + seed / 20), ("safe", 0.2))
    ]
    before = "unsafe/" if prefix else ""
    names = [category.value for category in Category]
    heights = [0.3 + 0.05 * i for i in range(len(names))]
    return [
        Figure(
            "reliability",
            "Reliability",
            "lines",
            [Series("", steps, curve, [v * 0.9 for v in curve], [v * 1.05 for v in curve])],
            x="probability said",
            y="share that was unsafe",
            caption="On the line, what is said is what happens.",
            diagonal=True,
        ),
        Figure(
            "strength",
            "Artistic style",
            "lines",
            [
                Series(name, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.9 - s * i for i in range(6)])
                for name, s in (("oil paint", 0.05), ("sketch", 0.08), ("cartoon", 0.02))
            ],
            x="strength",
            y="share right",
            like="Figure 9",
        ),
        Figure(
            "by-category",
            "F1 by category",
            "bars",
            [Series("", names, heights, [h - 0.1 for h in heights], [h + 0.1 for h in heights])],
            x="category",
            y="F1",
            caption="The whiskers are 95 % intervals.",
        ),
        Figure(
            "small",
            "Robust accuracy",
            "bars",
            [
                Series("clean", ["GN", "FGSM", "PGD"], [1.0, 0.5, 0.02]),
                Series("fooled", ["GN", "FGSM", "PGD"], [0.0, 0.5, 0.98]),
            ],
            y="share",
        ),
        Figure("tsne", "Embeddings in two dimensions", "scatter", clouds, x="t-SNE 1", y="t-SNE 2"),
        Figure("confidence", "Confidence", "density", shares, x="confidence", y="density"),
        Figure("void", "Nothing was found", "lines", [Series("none", [], [])]),
        Figure("empty", "No series at all", "scatter"),
        Figure(
            "errors",
            "False negatives by cluster",
            "images",
            keys={
                "cluster 1 (12 images)": [f"{before}{key(i)}" for i in (0, 2, 4)],
                "cluster 2 (7 images)": [f"{before}{key(6)}", "img/gone.png"],
            },
            caption="The images nearest each cluster's middle.",
            like="Figure 6",
        ),
    ]


def result(
    model: str = "falconsai",
    task: str = "effectiveness",
    *,
    tables: Sequence[Table] | None = None,
    figures: Sequence[Figure] | None = None,
    warnings: Sequence[Caveat] = (),
    data: DataCard = STAND_IN,
    seed: int = 0,
    prefix: bool = False,
) -> Result:
    """One result with real predictions."""
    return Result(
        task=task,
        model={
            "name": model,
            "model": f"org/{model}@abc123",
            "covered": ["Hate", "Harassment", "Violence"],
            "kind": "classifier",
            "sha256": hashlib.sha256(model.encode()).hexdigest(),
            "runtime": "openvino bf16",
            "licence": "Apache-2.0",
            "terms": "none beyond the licence",
            "trained_on": "about 80,000 images, not published",
            "price_per_1000": None,
            "facts": {},
        },
        data=data,
        options={"protocol": "sound", "seed": 7, "bootstrap": 5000, "images": 200},
        predictions=predictions(seed, prefix=prefix),
        evidence=Evidence(
            metrics={},
            tables=[table_4(model, 0.02 * seed), thresholds(best=0.3 + 0.02 * seed)]
            if tables is None
            else tables,
            figures=every_figure(seed, prefix) if figures is None else figures,
            warnings=warnings,
        ),
        versions=versions(),
        seconds=12.3,
    )


def two(prefix: bool = False) -> list[Result]:
    """Two models and two tasks."""
    failed = Caveat("not-scored", "2 images could not be scored. They are in no number.")
    masked = Caveat(
        "masked-gradients",
        "The black box attack found more than the white box ones. The robust accuracy is too high.",
    )
    attacks = Table(
        "robust",
        "Robust accuracy",
        ["GN", "FGSM", "PGD", "DeepFool", "average"],
        {"Lexica": [Cell(v, v - 0.02, v + 0.02, 0.5, 500) for v in (1.0, 0.5, 0.03, 0.2, 0.43)]},
        row="source",
        like="Table 5",
        model_is_row=True,
    )
    first, second = (
        result(m, seed=s, prefix=prefix, warnings=[failed])
        for s, m in enumerate(("falconsai", "q16"))
    )
    return [
        first,
        second,
        *(
            result(m, "robustness", tables=[attacks], figures=[], warnings=[failed, masked])
            for m in ("falconsai", "q16")
        ),
    ]
