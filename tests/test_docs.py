"""The docs and the code say the same: options, settings, codes, cards, keys; examples run."""

from __future__ import annotations

import dataclasses
import doctest
import importlib.util
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer.main

from tests.test_wire import FULL
from vedette import sniff, wire
from vedette.backends.base import BACKENDS, PRECISIONS
from vedette.cli import app
from vedette.compile.export import MAX_DRIFT
from vedette.errors import CODES
from vedette.heads.concepts import read_concepts
from vedette.models import labels
from vedette.models.combine import DEFAULT_HIGH, DEFAULT_LOW
from vedette.models.exported import NETWORKS
from vedette.models.registry import entries
from vedette.policy import PRESETS, Policy, RegionRule, Rule, load_policy, parse_policy
from vedette.settings import Limits, ScanOptions, Settings, VideoSampling, load_settings
from vedette.sinks.csv import COLUMNS
from vedette.taxonomy import Category

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PICTURES = DOCS / "pictures"
PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ]
)

OWNER = {
    # Which page explains the options of which command.
    "": "scan.md",
    "scan": "scan.md",
    "decide": "policy.md",
    "calibrate": "calibration.md",
    "report": "outputs.md",
    "embed": "embed.md",
    "score-embeddings": "embeddings.md",
    "explain": "explain.md",
    "serve": "serve.md",
    "policy list": "policy.md",
    "policy show": "policy.md",
    "policy check": "policy.md",
    "models list": "zoo.md",
    "models show": "zoo.md",
    "models pull": "weights.md",
    "models verify": "weights.md",
    "models export": "export.md",
    "annotate create": "annotation.md",
    "annotate join": "annotation.md",
    "annotate label": "annotation.md",
    "annotate status": "annotation.md",
    "annotate agreement": "annotation.md",
    "annotate export": "annotation.md",
    "annotate import": "annotation.md",
    "audit verify": "audit-log.md",
    "audit export": "audit-log.md",
    "audit erase": "audit-log.md",
    "audit prune": "audit-log.md",
    "data sets": "datasets.md",
    "data import": "datasets.md",
    "data list": "datasets.md",
    "data verify": "datasets.md",
    "data delete": "datasets.md",
    "data export": "datasets.md",
    "data check-labels": "datasets.md",
    "data audit": "audit.md",
    "data split": "splits.md",
    "data collect": "collect.md",
    "data synth": "synth.md",
    "data stats": "stats.md",
    "keys create": "keys.md",
    "keys list": "keys.md",
    "keys rotate": "keys.md",
    "keys revoke": "keys.md",
    "lists import": "hash-lists.md",
    "lists show": "hash-lists.md",
    "lists check": "hash-lists.md",
    "bench run": "bench.md",
    "bench tasks": "bench.md",
    "bench fingerprints": "bench.md",
    "bench report": "bench-report.md",
    "bench compare": "bench-report.md",
    "bench leaderboard": "bench-report.md",
    "train distill": "distillation.md",
    "train finetune": "finetune.md",
    "train probe": "probes.md",
    "train mlp": "probes.md",
    "train lora": "lora.md",
    "train prompt": "prompt-learning.md",
    "train few-shot": "scarce-labels.md",
    "train next": "scarce-labels.md",
    "train mine": "scarce-labels.md",
}


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def text(page: Path | str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def rows(page: str) -> Iterator[list[str]]:
    """The cells of every table row of a page."""
    for line in text(page).splitlines():
        if line.startswith("| ") and line.endswith(" |"):
            yield [cell.strip() for cell in line[2:-2].split(" | ")]


def named(page: str) -> set[str]:
    """What stands in the first cell of some table row of a page, as code."""
    return {name for row in rows(page) for name in re.findall(r"`([^`]+)`", row[0])}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of that language, unindented."""
    found = []
    for match in re.finditer(
        rf"^( *)```{language}\n(.*?)^\1```$", page.read_text(encoding="utf-8"), re.M | re.S
    ):
        indent = len(match[1])
        found.append("".join(line[indent:] for line in match[2].splitlines(keepends=True)))
    return found


# The command line


def commands() -> dict[str, Any]:
    """Every command by its full name, the program itself under the empty one."""
    root: Any = typer.main.get_command(app)
    found = {"": root}
    left = [("", root)]
    while left:
        name, group = left.pop()
        for part, command in group.commands.items():
            full = f"{name} {part}".strip()
            if hasattr(command, "commands"):
                left.append((full, command))
            else:
                found[full] = command
    return found


def options(command: Any) -> set[str]:
    return {
        option
        for parameter in command.params
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


def test_every_command_has_a_page_that_owns_it() -> None:
    assert set(commands()) == set(OWNER)
    for name, page in OWNER.items():
        assert f"vedette {name}".strip() in text(page)


@pytest.mark.parametrize("name", OWNER)
def test_every_option_is_on_the_page_of_its_command(name: str) -> None:
    page = text(OWNER[name])

    for option in options(commands()[name]):
        assert f"`{option}`" in page or f" {option}`" in page, option


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("scan.md", ["scan"]),
        ("policy.md", ["decide"]),
        ("outputs.md", ["report"]),
        ("zoo.md", ["models list", "models show"]),
        ("weights.md", ["models pull", "models verify"]),
        ("export.md", ["models export"]),
    ],
)
def test_no_table_explains_an_option_that_is_gone(page: str, names: list[str]) -> None:
    known = {option for name in names for option in options(commands()[name])}

    assert {name for name in named(page) if name.startswith("-")} == known


def called() -> list[tuple[str, str]]:
    """Every line of a shell example that calls the program, with the page it is on."""
    return [
        (short(page), line.removeprefix("$ "))
        for page in PAGES
        for language in ("sh", "console")
        for block in blocks(page, language)
        for line in block.splitlines()
        if re.match(r"(\$ )?vedette\b", line)
    ]


def test_there_are_shell_examples() -> None:
    assert len(called()) >= 10


@pytest.mark.parametrize(("page", "line"), called())
def test_shell_examples_name_commands_and_options_that_exist(page: str, line: str) -> None:
    known = commands()
    words = shlex.split(line)[1:]
    name = next(n for n in (" ".join(words[:2]), words[0], "") if n in known)
    given = {word for word in words if word.startswith("-") and word != "-"}

    assert name or given, f"no such command: {line}"
    assert given <= {*options(known[name]), "--help", "-h"}


def shown() -> list[Any]:
    """Every call of a console block that is shown with what it prints."""
    found = []
    for page in PAGES:
        for block in blocks(page, "console"):
            for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
                line, _, output = part.partition("\n")
                if output:
                    found.append(pytest.param(line, output, id=f"{short(page)}: {line}"))
    return found


@pytest.mark.parametrize(("line", "output"), shown())
def test_console_examples_print_what_is_shown(line: str, output: str, tmp_path: Path) -> None:
    shutil.copytree(PICTURES, tmp_path / "docs" / "pictures")
    program, *words = shlex.split(line)
    done = subprocess.run(
        [sys.executable, "-m", program, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (done.stdout or done.stderr) == output


# Settings, errors, models, policies


def toml_defaults() -> list[tuple[str, object]]:
    return [
        (field.name, getattr(cls(), field.name))
        for cls in (Settings, Limits, VideoSampling, ScanOptions)
        for field in dataclasses.fields(cls)
        if not dataclasses.is_dataclass(getattr(cls(), field.name))
    ]


def test_every_setting_is_listed_with_its_default() -> None:
    listed = [
        (row[0].strip("`"), tomllib.loads(f"value = {row[1].strip('`')}")["value"])
        for row in rows("settings.md")
        if row[0].startswith("`")
    ]

    assert listed == toml_defaults()


def test_every_error_code_is_listed_with_its_text_and_hint() -> None:
    listed = {row[0].strip("`"): tuple(row[2:]) for row in rows("errors.md") if row[0][0] == "`"}

    assert listed == CODES


def models_page() -> Any:
    spec = importlib.util.spec_from_file_location("models_page", DOCS / "models_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_models_page_is_made_from_the_cards() -> None:
    assert text("models.md") == models_page().page(), "run: python docs/models_page.py"


@pytest.mark.parametrize("name", entries())
def test_every_model_card_is_described(name: str) -> None:
    card = entries()[name].card
    section = text("models.md").split(f"\n## {name}\n")[1].split("\n## ")[0]

    for fact in (card.id, card.revision, card.licence, card.terms, card.trained_on, card.source):
        assert fact in section
    for file in card.weights.files if card.weights else ():
        assert f"`{file.path}`" in section
    for needed in card.needs:
        assert f"\n## {needed.id}\n" in text("models.md")


@pytest.mark.parametrize("name", entries())
def test_the_table_of_coverage_has_every_category(name: str) -> None:
    table = text("models.md").split("## What each model sees")[1].split("\n## ")[0]
    head, *lines = [line[2:-2].split(" | ") for line in table.splitlines() if line[:2] == "| "]
    (row,) = [cells for cells in lines if cells[0].startswith(f"[`{name}`]")]

    seen = {what for what, mark in zip(head[1:], row[1:], strict=True) if mark.strip()}
    assert seen == {category.value for category in entries()[name].card.covered}


def test_speeds_are_shown_where_they_were_measured(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    path.write_text(
        '{"machine": "2 cores", "command": "time it", "images_per_s": {"dummy": {"fp32": 12.5}}}'
    )
    module = models_page()

    assert module.read_speeds(tmp_path / "none.json").images_per_s == {}
    told = "\n".join(module._facts(entries(), module.read_speeds(path)))
    assert re.search(r"^\| \[`dummy`\].*\| 12.5 fp32 \|", told, re.M)
    assert re.search(r"^\| \[`q16`\].*\| – \|", told, re.M)
    assert "`time it`" in told


def test_facts_about_nudenets_weights_are_the_cards() -> None:
    card = entries()["nudenet"].card
    page = text("nudenet.md")

    assert f"`{card.id}`" in page
    assert f"`{card.revision}`" in page
    assert card.licence in page
    assert card.terms in page
    assert card.trained_on in page
    assert ", ".join(f"`{precision}`" for precision in card.precisions) in page
    known = [row for row in rows("nudenet.md") if row[0].startswith("`BUTTOCKS")]
    listed = {name: row[1] for row in rows("nudenet.md") for name in re.findall("`(.+?)`", row[0])}
    assert len(known) == 2
    for label, counted in card.labels.items():
        assert listed[label] == (", ".join(counted) or "nothing by itself")


def test_words_for_labels_are_listed_with_what_they_count_for() -> None:
    listed = {word: row[1] for row in rows("vit.md") for word in re.findall("`(.+?)`", row[0])}

    for word, counted in labels._COMMON.items():
        told = "all eleven" if len(counted) == len(Category) else ", ".join(counted)
        assert listed[word] == (told or "nothing by itself"), word


def test_the_example_of_a_label_table_can_be_read(tmp_path: Path) -> None:
    (example,) = blocks(DOCS / "vit.md", "toml")
    (tmp_path / "labels.toml").write_text(example, encoding="utf-8")

    counts = labels.counts_of(("LABEL_0", "LABEL_1", "gun"), tmp_path)

    assert counts["LABEL_0"] == ()
    assert counts["gun"] == (Category.VIOLENCE, Category.ILLEGAL_ACTIVITY)


def test_the_example_of_a_concept_file_can_be_read(tmp_path: Path) -> None:
    (example,) = blocks(DOCS / "clip.md", "toml")
    (tmp_path / "concepts.toml").write_text(example, encoding="utf-8")

    counts = read_concepts(tmp_path / "concepts.toml").counts

    assert counts["a bloody knife"] == (Category.VIOLENCE,)
    assert counts["a young child"] == ()


def test_default_thresholds_and_bounds_are_told() -> None:
    assert f"they are {DEFAULT_LOW:g}..{DEFAULT_HIGH:g} then" in text("combinations.md")
    assert f"by more than this; {MAX_DRIFT:g} by default" in text("export.md")
    assert all(name in named("export.md") for name in NETWORKS)


def test_backends_and_precisions_are_listed() -> None:
    assert {*BACKENDS, "auto", *PRECISIONS} == named("backends.md") - {"--backend"}


def test_every_preset_is_listed_with_its_thresholds() -> None:
    listed = {row[0].strip("`"): row for row in rows("policy.md") if row[0].strip("`") in PRESETS}

    assert list(listed) == list(PRESETS)
    for name, row in listed.items():
        policy = load_policy(name)
        assert row[3] == policy.on_failure.value
        assert ("all eleven" in row[1]) == (len(policy.categories) == len(Category))
        for category in set(Category) - set(policy.categories):
            assert category.value in row[1]
        for rule in policy.categories.values():
            pair = f"{rule.review:g} / {rule.block:g}" if rule.block else f"{rule.review:g}, never"
            assert pair in row[2]
        words = {1: "one", 2: "two", 3: "three", 4: "four"}
        if policy.regions:
            assert f"{words[len(policy.regions)]} region rules" in row[4]


def test_every_policy_key_is_listed_and_in_the_example() -> None:
    keys = {field.name for cls in (Policy, Rule, RegionRule) for field in dataclasses.fields(cls)}
    keys -= {"rule"}  # a RegionRule's thresholds stand beside its category
    (example,) = blocks(DOCS / "policy.md", "toml")
    policy = parse_policy(example, "the example")

    assert keys <= named("policy.md")
    keys -= {"calibrated"}  # in the policies that Vedette writes, and in nobody's own
    assert {key for key in keys if not re.search(rf"\b{key}\b", example)} == set()
    plain = Policy("", "", {})
    for field in (one for one in dataclasses.fields(Policy) if one.name in keys):
        # A key that the parser forgets would leave its default.
        assert getattr(policy, field.name) != getattr(plain, field.name), field.name


def test_the_settings_example_can_be_read(tmp_path: Path) -> None:
    (example,) = blocks(DOCS / "settings.md", "toml")
    path = tmp_path / "vedette.toml"
    path.write_text(example, encoding="utf-8")

    settings = load_settings(path)

    assert settings.limits.pixels == 50_000_000
    assert settings != Settings()


# Formats, categories, Records


def formats() -> set[str]:
    known = {fmt for _, fmt in sniff._PREFIXES} | set(sniff._RIFF.values())
    known |= {value for _, value in inspect.getmembers(sniff) if isinstance(value, sniff.Format)}
    return {fmt.name for fmt in known} | {"MPEG-TS"}


def test_every_format_is_named() -> None:
    page = text("decode.md")

    assert {name for name in formats() if f"`{name}`" not in page} == set()


def test_every_limit_is_in_the_decoding_page() -> None:
    listed = {name for name in named("decode.md") if name.startswith("limits.")}

    assert listed == {f"limits.{field.name}" for field in dataclasses.fields(Limits)}


def test_every_category_is_defined_in_its_own_words() -> None:
    listed = [tuple(row) for row in rows("taxonomy.md")][1:]

    assert listed == [(category.value, category.definition) for category in Category]


def keys_of(value: object) -> set[str]:
    """Every key of a JSON value; what is in ``scores``, ``labels``, ``times_ms`` has own names."""
    if isinstance(value, list):
        return {key for part in value for key in keys_of(part)}
    if not isinstance(value, dict):
        return set()
    inner = [part for key, part in value.items() if key not in ("scores", "labels", "times_ms")]
    return set(value) | keys_of(inner)


def test_every_key_of_a_record_is_described_and_no_other() -> None:
    assert named("record.md") == keys_of(wire.to_dict(FULL))
    for step in FULL.times_ms:
        assert f"`{step}`" in text("record.md")


def test_the_example_record_is_one() -> None:
    (example,) = blocks(DOCS / "record.md", "json")
    data = json.loads(example)

    assert json.dumps(wire.to_dict(wire.from_dict(data))) == json.dumps(data)
    assert keys_of(data) == keys_of(wire.to_dict(FULL)) - {"embedding"}


def test_every_column_of_the_csv_is_listed_in_order() -> None:
    section = text("outputs.md").split("## CSV")[1].split("##")[0]
    plain = [name for name in COLUMNS if not name.startswith("p_")]
    places = [section.index(f"`{name}`") for name in plain]

    assert places == sorted(places)
    assert "`p_Sexual`" in section
    assert [f"p_{category.value}" for category in Category] == [c for c in COLUMNS if c[:2] == "p_"]


# Pages, links, examples


def test_every_page_is_linked_from_its_index() -> None:
    for folder in (DOCS, DOCS / "adr"):
        index = folder.joinpath("README.md").read_text(encoding="utf-8")
        for page in folder.glob("*.md"):
            assert page.name == "README.md" or f"({page.name})" in index, page


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", prose, re.M)
    }


def links(page: Path) -> list[str]:
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"\]\(([^)\s]+)\)", prose)


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = page.parent.joinpath(path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def examples() -> list[Any]:
    return [
        pytest.param(block, id=f"{short(page)}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page, "python"), start=1)
    ]


def test_there_are_examples_to_run() -> None:
    assert sum("python.md" in str(example.id) for example in examples()) >= 10


@pytest.mark.parametrize("block", examples())
def test_python_examples_run(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ``python`` block of every page, in a namespace and a folder of its own.

    The folder holds ``pictures/``, a copy of docs/pictures. A block with ``>>>`` is a session
    whose output is compared; any other is run as a program.
    """
    shutil.copytree(PICTURES, tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__example__"}
    if ">>>" in block:
        session = doctest.DocTestParser().get_doctest(block, namespace, "example", None, 0)
        told: list[str] = []
        doctest.DocTestRunner(verbose=False).run(session, out=told.append)
        assert not told, "".join(told)
    else:
        exec(compile(block, "example", "exec"), namespace)


def test_the_recipe_for_docstrings_holds() -> None:
    import vedette.pipeline

    assert doctest.testmod(vedette.pipeline).failed == 0
