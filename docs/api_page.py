"""Writes docs/api.md from the OpenAPI of the service.

    python docs/api_page.py

``pytest tests/serve/test_openapi.py`` fails while the page says anything else than the service.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vedette.policy import load_policy
from vedette.serve.app import create_app
from vedette.serve.engine import Engine
from vedette.serve.options import ServeOptions
from vedette.serve.services import Services
from vedette.settings import Settings

HERE = Path(__file__).parent
PAGE = HERE / "api.md"

_SERVER = "http://127.0.0.1:8080"
_LONG = 400
"""Characters of a JSON body that a curl line shows."""


def specification() -> Mapping[str, Any]:
    """The OpenAPI of a service that answers nothing: what only requests need is not there."""
    engine = Engine(("dummy",), Settings(), 1)
    nobody: Any = None
    services = Services(
        options=ServeOptions(models=("dummy",)),
        engine=engine,
        policies={"default": load_policy("default")},
        keys=nobody,
        limiter=nobody,
        fetcher=nobody,
        lists=nobody,
        audit=nobody,
    )
    try:
        return create_app(services).openapi()
    finally:
        engine.close()


def page(found: Mapping[str, Any]) -> str:
    """The whole of docs/api.md."""
    endpoints = [
        (path, method, told)
        for path, methods in sorted(found["paths"].items())
        for method, told in methods.items()
    ]
    blocks = ["# The HTTP API", *_intro(), *_contents(endpoints), *_statuses(endpoints)]
    for path, method, told in endpoints:
        blocks += _endpoint(path, method, told, found)
    return "\n\n".join(blocks) + "\n"


def _intro() -> Iterator[str]:
    yield _filled(
        "This page is made from the service's own OpenAPI by `python docs/api_page.py`: change "
        "the endpoints and not the page. A running service has the same at `/openapi.json`. "
        "[Running it](serve.md) is another page. The examples take the service to be at "
        f"`{_SERVER}` and the key to be in `$VEDETTE_KEY`."
    )


def _contents(endpoints: list[tuple[str, str, Any]]) -> Iterator[str]:
    yield "## Endpoints"
    rows = [
        [_link(_heading(path, method)), _first_sentence(told)] for path, method, told in endpoints
    ]
    yield _table(["endpoint", "what it does"], rows)


def _statuses(endpoints: list[tuple[str, str, Any]]) -> Iterator[str]:
    yield "## Errors"
    yield _filled(
        "Every answer that is not a success has this shape. `code` is for programs, and "
        "[Errors](errors.md) lists all of them; `request_id` is that of the header "
        "`X-Request-Id`, which a caller may choose. With `429` and `503` the header `Retry-After` "
        "says after how many seconds to try again."
    )
    met: dict[int, str] = {}
    example: object = None
    for _, _, told in endpoints:
        for status, answer in told["responses"].items():
            if int(status) >= 400:
                met.setdefault(int(status), answer["description"])
                example = example or _content(answer).get("example")
    yield _fenced("json", json.dumps(example, indent=2))
    yield _table(["status", "meaning"], [[f"`{status}`", met[status]] for status in sorted(met)])


def _endpoint(path: str, method: str, told: Any, found: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {_heading(path, method)}"
    yield _paragraphs(told.get("description") or told["summary"])
    if told.get("security"):
        yield _filled("Needs a key, as `Authorization: Bearer KEY`.")
    curl = _curl(path, method, told)
    yield _fenced("sh", curl)
    if "@request.json" in curl:
        body = _content(told["requestBody"])["example"]
        yield f"where `request.json` is:\n\n{_fenced('json', json.dumps(body, indent=2))}"
    if rows := [_parameter(one) for one in told.get("parameters", ())]:
        yield _table(["parameter", "in", "type", "meaning"], rows)
    kinds = told.get("requestBody", {}).get("content", {})
    for kind, body in kinds.items():
        rows = list(_fields(_whole(body.get("schema", {}), found), found))
        if rows:
            yield f"Body of `{kind}`:"
            yield _table(["field", "type", "meaning"], rows)
    if bare := [f"`{kind}`" for kind, body in kinds.items() if _is_bytes(body)]:
        yield _filled(f"Or the bytes themselves as the body: {', '.join(bare)}.")
    for status, answer in told["responses"].items():
        if int(status) < 400:
            yield _paragraphs(f"`{status}`: {answer['description']}")
            if "example" in _content(answer):
                yield _fenced("json", json.dumps(_content(answer)["example"], indent=2))
    wrong = [f"`{status}`" for status in sorted(told["responses"]) if int(status) >= 400]
    if wrong:
        yield _filled(f"[Errors](#errors): {', '.join(wrong)}.")


def _curl(path: str, method: str, told: Any) -> str:
    words = ["curl", "-sS"]
    if method != "get":
        words += ["-X", method.upper()]
    url = _SERVER + re.sub(r"\{(\w+)(:path)?\}", lambda m: m[1].upper(), path)
    lines = [" ".join([*words, shlex.quote(url)])]
    if told.get("security"):
        lines.append('-H "Authorization: Bearer $VEDETTE_KEY"')
    content = told.get("requestBody", {}).get("content", {})
    form = content.get("multipart/form-data")
    if form is not None:
        lines += [
            f"-F {name}=@{'film.mp4' if path.endswith('video') else 'picture.jpg'}"
            for name, field in form["schema"].get("properties", {}).items()
            if _is_file(field)
        ]
    elif "example" in content.get("application/json", {}):
        lines.append("-H 'Content-Type: application/json'")
        text = json.dumps(content["application/json"]["example"])
        if len(text) > _LONG:
            lines.append("-d @request.json")
        else:
            lines.append(f"-d {shlex.quote(text)}")
    elif bare := next((kind for kind, body in content.items() if _is_bytes(body)), None):
        lines += [f"-H 'Content-Type: {bare}'", "--data-binary @file"]
    return " \\\n  ".join(lines)


def _parameter(one: Any) -> list[str]:
    needed = ", required" if one.get("required") else ""
    return [f"`{one['name']}`", one["in"] + needed, _kind(one["schema"]), _line(one)]


def _fields(schema: Any, found: Mapping[str, Any], above: str = "") -> Iterator[list[str]]:
    """A row for each field, those of objects inside with the name of their object before them."""
    needed = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        field = _whole(field, found)
        yield [
            f"`{above}{name}`",
            _kind(field) + (", required" if name in needed else ""),
            _line(field),
        ]
        inner = _whole(field.get("items", field), found)
        if inner.get("title") == "Record":
            continue  # it has a page of its own
        within = f"{above}{name}[]." if "items" in field else f"{above}{name}."
        yield from _fields(inner, found, within)


def _whole(schema: Any, found: Mapping[str, Any]) -> Any:
    while "$ref" in schema:
        schema = found["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _kind(schema: Any) -> str:
    """A schema's type in words."""
    if schema.get("title") == "Record":
        return "[Record](record.md)"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            kinds = [_kind(one) for one in schema[several] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("format") == "binary":
        return "file"
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _is_file(schema: Any) -> bool:
    return bool(_kind(schema).endswith("file"))


def _is_bytes(body: Any) -> bool:
    return bool(body.get("schema", {}).get("format") == "binary")


def _content(answer: Any) -> Any:
    return answer.get("content", {}).get("application/json", {})


def _line(schema: Any) -> str:
    return " ".join(str(schema.get("description", "")).split())


def _heading(path: str, method: str) -> str:
    return f"{method.upper()} {path}"


def _first_sentence(told: Any) -> str:
    text = " ".join((told.get("description") or told["summary"]).split())
    return re.split(r"(?<=[.:])\s", text, maxsplit=1)[0].rstrip(".:")


def _link(heading: str) -> str:
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    return f"[`{heading}`](#{anchor})"


def _paragraphs(text: str) -> str:
    """Paragraphs filled; tables as they are."""
    parts = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(part if part.startswith("|") else _filled(part) for part in parts)


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _table(names: list[str], rows: list[list[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    escaped = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |".replace("| --- ", "|---") for line in escaped)


def _filled(paragraph: str) -> str:
    return textwrap.fill(
        " ".join(paragraph.split()), 100, break_long_words=False, break_on_hyphens=False
    )


if __name__ == "__main__":
    PAGE.write_text(page(specification()), encoding="utf-8", newline="\n")
