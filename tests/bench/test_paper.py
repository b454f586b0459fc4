"""The paper's numbers are read as printed."""

from __future__ import annotations

import pytest

from vedette.bench import paper
from vedette.models.registry import entries
from vedette.taxonomy import Category


def test_a_number_of_each_table() -> None:
    assert paper.coverage()["NudeNet"] == {Category.SEXUAL}
    assert paper.coverage()["LLaVA"] == set(Category)
    assert paper.f1("laion5b", "Q16", Category.DECEPTION) == 0.762
    assert paper.f1("all", "GPT-4V", None) == 0.709
    assert paper.robust_accuracy("lexica", "NudeNet", "fgsm") == 0.076
    assert paper.robust_accuracy("laion5b", "Q16", "pgd_std") == 0.002
    assert paper.perspectivevision_f1("linear_probing_clip", "smid") == 0.365
    assert paper.perspectivevision_robust_accuracy("multiheaded", "average") == 0.912
    assert paper.count("lexica", "unsafe", Category.SEXUAL) == 331


def test_what_the_paper_has_not_is_none() -> None:
    assert paper.f1("all", "NudeNet", Category.HATE) is None
    assert paper.f1("all", "Q16", None) is None
    assert paper.f1("all", "nobody", None) is None
    assert paper.robust_accuracy("all", "Q16", "pgd") is None
    assert paper.robust_accuracy("lexica", "Q16", "square") is None


def test_every_image_of_the_set_is_counted() -> None:
    labels = ("safe", "unsafe")
    totals = [paper.count(source, label, None) or 0 for source in paper.SOURCES for label in labels]
    assert sum(totals) == 10_146
    for source in paper.SOURCES:
        for label in labels:
            own = [paper.count(source, label, category) or 0 for category in Category]
            assert sum(own) == paper.count(source, label, None)


def test_f1_is_given_only_where_a_classifier_is_covered() -> None:
    for classifier, covered in paper.coverage().items():
        for category in Category:
            number = paper.f1("all", classifier, category)
            assert (number is not None) <= (category in covered)


@pytest.mark.parametrize("name", ["q16", "multiheaded", "sd-filter", "nudenet"])
def test_models_of_the_registry_have_their_rows(name: str) -> None:
    assert name in entries()
    assert paper.row_of(name) in paper.coverage()


def test_names_of_sources() -> None:
    assert paper.source_of("LAION-5B") == paper.source_of("Laion5B") == "laion5b"
    assert paper.source_of("flickr") is None
    assert paper.pooled_source(("Laion5B", "Lexica")) == "all"
    assert paper.pooled_source(("Lexica",)) == "lexica"
    assert paper.pooled_source(("Lexica", "flickr")) is None
    assert paper.pooled_source(()) is None
