"""The house in shape: imports point one way, nothing heavy comes along, and no rule is bent."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

import vedette

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "vedette"

LAYERS: tuple[tuple[str, ...], ...] = (
    # A module imports from its own layer and from those above it in this list, never from below.
    ("types", "errors", "extras", "settings", "taxonomy", "text"),
    (
        *("fetch", "decode", "scores", "calibrate", "policy", "policy_toml", "wire"),
        *(
            "perceptual",
            "sniff",
            "resize",
            "colour",
            "decoding",
            "stills",
            "video",
            "hardened",
            "decode_worker",
            "watchdog",
        ),
    ),
    ("backends", "compile", "data", "formats", "heads", "hub", "models", "networks", "sinks"),
    ("pipeline", "batcher", "job", "embeddings", "explain", "hashlists"),
    ("actions", "annotate", "curate", "run"),
    ("bench",),
    ("train",),
    ("serve", "client", "adapters"),
    ("cli", "__main__"),
)
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}

HEAVY = (
    # What the extras bring, what those bring along, and what later extras will bring.
    *("onnxruntime", "openvino", "pyarrow", "av", "pillow_heif", "nudenet", "cv2"),
    *("torch", "transformers", "ray", "fastapi", "faiss", "pandas", "scipy", "sklearn"),
    *("sqlalchemy", "psycopg", "cryptography", "keyring", "matplotlib"),
    *("peft", "accelerate", "tensorboard"),
)
FOR_THE_COMMAND_LINE = ("typer", "click", "rich")


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def short(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def name_of(path: Path) -> str:
    """The dotted name inside the package: ``data.paths``, ``data`` for a package's own file."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


EVERY = {name_of(path) for path in modules()}


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names inside the package that the nodes import, dotted and without ``vedette.``."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "vedette":
                    yield alias.name.partition(".")[2]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            package, _, inner = (node.module or "").partition(".")
            if package == "vedette":
                for alias in node.names:
                    below = f"{inner}.{alias.name}".strip(".")
                    yield below if below in EVERY else inner


# Imports


def test_every_module_has_its_layer() -> None:
    tops = {name.split(".")[0] for name in EVERY if name}

    assert tops == set(LAYER), "give a new module its place in LAYERS"


@pytest.mark.parametrize("path", modules(), ids=short)
def test_imports_point_one_way(path: Path) -> None:
    name = name_of(path)
    if not name:
        return  # the public names; what importing them costs is tested below
    own = LAYER[name.split(".")[0]]
    for other in imported(ast.walk(tree(path))):
        if not other:
            assert own == len(LAYERS) - 1, "only the outermost layer uses the public names"
            continue
        assert LAYER[other.split(".")[0]] <= own, f"{name} must not import {other}"


def test_the_import_check_sees_imports_of_every_form() -> None:
    code = (
        "import vedette.models.base\n"
        "from vedette import sniff, __version__\n"
        "def f():\n    from vedette.data.paths import PathSource\n"
        "if TYPE_CHECKING:\n    from vedette.pipeline import Scanner\n"
    )

    assert sorted(imported(ast.walk(ast.parse(code)))) == [
        "",
        "data.paths",
        "models.base",
        "pipeline",
        "sniff",
    ]


def test_no_two_modules_import_each_other_while_loading() -> None:
    graph = {name_of(path): set(imported(tree(path).body)) - {""} for path in modules()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after ``code``."""
    told = "import sys; print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{told}"], capture_output=True, text=True, check=True
    )
    return set(run.stdout.splitlines()[-1].split())


def test_importing_vedette_loads_nothing_at_all() -> None:
    loaded = loaded_after("import vedette")

    assert not loaded & {*HEAVY, *FOR_THE_COMMAND_LINE, "numpy", "PIL"}


def test_the_public_names_load_numpy_and_pillow_at_most() -> None:
    loaded = loaded_after("from vedette import *; assert Scanner and load_policy")

    assert {"numpy", "PIL"} <= loaded
    assert not loaded & {*HEAVY, *FOR_THE_COMMAND_LINE}


@pytest.mark.parametrize("path", sorted(SOURCE.joinpath("models").glob("*.py")), ids=short)
def test_importing_a_model_loads_nothing_heavy(path: Path) -> None:
    assert not loaded_after(f"import vedette.{name_of(path)}") & {*HEAVY, *FOR_THE_COMMAND_LINE}


def test_importing_any_module_loads_nothing_heavy() -> None:
    names = EVERY - {"", "__main__"}  # the latter runs the program
    everything = "\n".join(f"import vedette.{name}" for name in sorted(names))

    assert not loaded_after(everything) & {*HEAVY}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['vedette', '--help']\nfrom vedette.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0"
    )

    loaded = loaded_after(code)

    assert "typer" in loaded
    assert not loaded & {*HEAVY, "numpy", "PIL"}


# Public names


@pytest.mark.parametrize("name", vedette.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(vedette, name) is not None
    assert name in dir(vedette)


def test_the_public_names_are_sorted_and_no_others_resolve() -> None:
    assert list(vedette.__all__) == sorted(vedette.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Scaner'"):
        vedette.Scaner  # noqa: B018


def test_type_checkers_see_the_public_names_that_there_are() -> None:
    (block,) = [node for node in tree(SOURCE / "__init__.py").body if isinstance(node, ast.If)]
    seen = {alias.name for node in block.body for alias in node.names}  # type: ignore[attr-defined]

    assert seen | {"__version__"} == set(vedette.__all__)


# Habits


@pytest.mark.parametrize("path", modules(), ids=short)
def test_a_file_has_one_subject(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")

    assert lines <= 400, "look for the second subject in it"


@pytest.mark.parametrize("path", modules(), ids=short)
def test_no_error_is_swallowed_unnamed(path: Path) -> None:
    bare = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") == "BaseException")
    ]

    assert not bare


UNPICKLER = "formats/pickled.py"
"""The one place that unpickles, restricted."""


@pytest.mark.parametrize("path", modules(), ids=short)
def test_nothing_is_unpickled(path: Path) -> None:
    pickles = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    allowed = {"pickle"} if short(path) == UNPICKLER else set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names}
            names.add((getattr(node, "module", "") or "").split(".")[0])
            assert names & pickles <= allowed
        elif isinstance(node, ast.keyword):
            assert node.arg not in ("allow_pickle", "trust_remote_code")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            # A Connection's send and recv pickle; its send_bytes and recv_bytes do not.
            assert node.func.attr not in ("recv", "send")


def test_the_one_unpickler_finds_only_names_of_its_own() -> None:
    code = tree(SOURCE / UNPICKLER)
    (restricted,) = [
        node
        for node in ast.walk(code)
        if isinstance(node, ast.ClassDef) and "pickle.Unpickler" in map(ast.unparse, node.bases)
    ]
    (find_class,) = [
        node
        for node in restricted.body
        if isinstance(node, ast.FunctionDef) and node.name == "find_class"
    ]

    # The module is used for the class to derive from and for its error, under no other name.
    imports = [node for node in ast.walk(code) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias for node in imports for alias in node.names if alias.name == "pickle"]
    assert [alias.asname for alias in names] == [None]
    assert "pickle" not in {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    mentions = [n for n in ast.walk(code) if isinstance(n, ast.Name) and n.id == "pickle"]
    uses = [
        node.attr
        for node in ast.walk(code)
        if isinstance(node, ast.Attribute) and node.value in mentions
    ]
    assert len(uses) == len(mentions)
    assert sorted(set(uses)) == ["Unpickler", "UnpicklingError"]
    assert uses.count("Unpickler") == 1
    # What it finds is made here: it neither imports nor asks the class above it.
    calls = {ast.unparse(node.func) for node in ast.walk(find_class) if isinstance(node, ast.Call)}
    assert calls == {"self._names.get", "_Name", "ValueError"}


@pytest.mark.parametrize("path", modules(), ids=short)
def test_nothing_is_left_to_be_done(path: Path) -> None:
    assert not re.search(r"\b(TO" + "DO|FIX" + "ME|XXX|HACK)\\b", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", modules(), ids=short)
def test_public_functions_say_what_they_take(path: Path) -> None:
    classes = [node for node in tree(path).body if isinstance(node, ast.ClassDef)]
    for function in [*tree(path).body, *(node for cls in classes for node in cls.body)]:
        if not isinstance(function, ast.FunctionDef) or function.name.startswith("_"):
            continue
        given = function.args
        assert given.kwarg is None, f"{function.name} hides its options"
        if not short(path).startswith("cli/"):  # there a parameter is an option
            count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
            assert count <= 9, f"{function.name} wants a dataclass of options"


def files_of_the_repository() -> list[Path]:
    """What is, or will be, committed: caches and environments are left out."""
    tops = ("src", "tests", "docs", "benchmarks", ".ci")
    inside = [path for top in tops for path in ROOT.joinpath(top).rglob("*")]
    return sorted(
        path
        for path in (*inside, *ROOT.glob("*"), *ROOT.glob(".*"))
        if path.is_file() and "__pycache__" not in path.parts and path.name != ".git"
    )


def test_nothing_names_this_machine_or_a_registry() -> None:
    # Put together here, so that this file does not contain them.
    registries = [
        "py" + "pi.org",
        "python" + "hosted.org",
        "npm" + "js.org",
        "ana" + "conda.org",
        "docker" + ".io",
        "gh" + "cr.io",
        "qu" + "ay.io",
        "crates" + ".io",
        "index" + "-url",
    ]
    places = ["work", "root", "home/[a-z]+", "Users/[A-Za-z]+", "tmp/[a-z]+"]
    pattern = re.compile(
        "|".join(map(re.escape, registries)).encode()
        + b"|"
        + rf"(?<![\w.~/-])/(?:{'|'.join(places)})/".encode()
    )
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in files_of_the_repository()
        if (match := pattern.search(path.read_bytes()))
    }

    assert pattern.search(b"see /wor" + b"k/main")
    assert pattern.search(b"https://py" + b"pi.org/simple")
    assert len(files_of_the_repository()) > 60
    assert not found
