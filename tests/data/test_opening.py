from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.layouts import class_zip, unsafebench_hub
from tests.pictures import folder_of
from tests.test_docs import named, rows
from vedette.data.opening import SourceOptions, formats, open_source
from vedette.errors import UnknownNameError, UsageError


def test_every_format_is_on_its_page() -> None:
    assert set(formats()) <= named("sources.md")


def test_every_option_is_on_the_page() -> None:
    assert set(SourceOptions.__dataclass_fields__) <= named("sources.md")


def test_the_page_lists_them_in_the_order_in_which_they_are_tried() -> None:
    cells = [row[0].strip("`") for row in rows("sources.md")]
    listed = list(dict.fromkeys(name for name in cells if name in formats()))

    assert listed == list(formats())


def test_a_format_is_named_before_the_path_or_by_itself(tmp_path: Path) -> None:
    unsafebench_hub(tmp_path)

    assert open_source(str(tmp_path))[0].name == "unsafebench"
    assert open_source(f"parquet:{tmp_path}")[0].name == "parquet"
    assert open_source(str(tmp_path), "files")[0].name == "files"
    with pytest.raises(UnknownNameError, match="parket"):
        open_source(str(tmp_path), "parket")


def test_plain_things_are_files(tmp_path: Path) -> None:
    folder_of(tmp_path, 1)

    assert open_source(str(tmp_path))[0].name == "files"
    assert open_source(str(tmp_path / "0000.png"))[0].name == "files"
    with pytest.raises(UsageError) as caught:
        open_source(str(tmp_path / "gone"))
    assert caught.value.code == "not_found"


@pytest.mark.parametrize("name", [name for name in formats() if name not in ("files", "synth")])
def test_no_format_takes_what_is_not_there_for_a_set(tmp_path: Path, name: str) -> None:
    fmt = formats()[name]

    for path in (tmp_path / "gone", tmp_path):
        assert not fmt.fits(path)


def test_a_folder_with_a_zip_and_papers_is_the_zips_set(tmp_path: Path) -> None:
    class_zip(tmp_path / "a.zip")
    (tmp_path / "README.md").write_text("about")

    assert open_source(str(tmp_path))[0].name == "classes"
