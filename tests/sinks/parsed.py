"""A written report page, taken apart for the tests."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"meta", "link", "img", "input", "wbr"}


class Page(HTMLParser):
    """The page's elements and words; a tag that is not closed where it should be is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All the words."""
        return "".join(self.words)

    def with_class(self, name: str) -> list[dict[str, str]]:
        """The attributes of the elements of a class."""
        return [attrs for _, attrs in self.tags if name in attrs.get("class", "").split()]

    def assert_harmless(self) -> None:
        """One script, one style, no handler, no style attribute, nothing loaded from elsewhere."""
        names = [tag for tag, _ in self.tags]
        assert names.count("script") == names.count("style") == names.count("body") == 1
        assert not {"iframe", "object", "embed", "base", "a", "form"} & set(names)
        for tag, attrs in self.tags:
            assert not [name for name in attrs if name.startswith("on") or name == "style"], tag
            for name in ("src", "href", "srcset", "data", "action", "xlink:href"):
                assert attrs.get(name, "data:").startswith("data:"), (tag, attrs)
