"""The text of a prompt says nothing about its answer, whatever the labels are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from tests.train import sets
from vedette.errors import UsageError
from vedette.taxonomy import Category
from vedette.train.examples import UNSAFE, Examples, examples_of
from vedette.train.lora.options import Negatives
from vedette.train.lora.prompts import Example, shuffled, training_examples

CATEGORIES = tuple(Category)


def examples_with(counts: dict[Category, int], safe: int, seed: int = 0) -> Examples:
    told = sets.rows(counts, safe)
    return examples_of(told, sets.alone(told), seed=seed)


def uneven(seed: int = 0) -> Examples:
    """As UnsafeBench is: eleven categories, some five times as frequent as others."""
    return examples_with({c: 30 + 12 * k for k, c in enumerate(CATEGORIES)}, 500, seed)


def text_auroc(
    made: tuple[Example, ...], negatives: Negatives, words: tuple[int, int] = (1, 1)
) -> float:
    """Of a bag of words on the prompts against the answers, cross-validated.

    Args:
        made: the examples.
        negatives: how their texts are written.
        words: lengths of the runs of words that are counted; two tell the order of a list.
    """
    texts = [example.question(negatives) for example in made]
    unsafe = np.array([example.answer is not None for example in made])
    counted = CountVectorizer(ngram_range=words, min_df=2).fit_transform(texts)
    model = LogisticRegression(C=0.1, solver="liblinear")
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    p = cross_val_predict(model, counted, unsafe, cv=folds, method="predict_proba")
    return float(roc_auc_score(unsafe, p[:, 1]))


@pytest.mark.parametrize("words", [(1, 1), (1, 2)], ids=["words", "pairs of words"])
def test_a_text_only_classifier_is_at_chance(words: tuple[int, int]) -> None:
    drawn = [training_examples(uneven(seed), seed) for seed in range(3)]

    found = np.array([text_auroc(made, "definitions", words) for made in drawn])

    # The standard error of an AUROC at chance, with as many examples on either side.
    half = min(len(made) for made in drawn) / 2
    error = np.sqrt((2 * half + 1) / (12 * half * half))
    assert abs(found - 0.5).max() < 3 * error
    assert abs(found.mean() - 0.5) < 2 * error


@pytest.mark.parametrize("seed", range(2))
def test_the_published_form_gives_the_answer_away(seed: int) -> None:
    made = training_examples(uneven(seed), seed)

    assert text_auroc(made, "bare") > 0.99


def test_categories_and_lengths_are_as_frequent_with_either_answer() -> None:
    made = [e for seed in range(4) for e in training_examples(uneven(), seed)]
    unsafe = [e for e in made if e.answer is not None]
    safe = [e for e in made if e.answer is None]

    assert len(unsafe) == len(safe)
    for category in CATEGORIES:
        shares = [np.mean([category in e.scope for e in some]) for some in (unsafe, safe)]
        assert abs(shares[0] - shares[1]) < 4 * np.sqrt(0.5 / len(safe))
    for length in range(1, 12):
        shares = [np.mean([len(e.scope) == length for e in some]) for some in (unsafe, safe)]
        assert abs(shares[0] - shares[1]) < 4 * np.sqrt(2 / 11 / len(safe))
        assert min(shares) > 0.7 / 11


def test_where_the_violated_category_stands_in_its_list_is_left_to_chance() -> None:
    whole = [e for e in training_examples(uneven(), 2) if e.answer and len(e.scope) == 11]

    places = [e.scope.index(e.answer) for e in whole if e.answer]

    assert abs(np.mean(places) - 5) < 3 * np.std(places) / np.sqrt(len(places))


def test_every_image_is_seen_and_unsafe_ones_both_ways() -> None:
    examples = uneven()
    made = training_examples(examples, 0)

    train = set(examples.rows("train").tolist())
    unsafe = {row for row in train if examples.unsafe[row]}
    assert {e.row for e in made} == train
    assert {e.row for e in made if e.answer is not None} == unsafe
    seen_safe = {e.row for e in made if e.answer is None}
    assert len(seen_safe & unsafe) > 0.95 * len(unsafe)
    assert train - unsafe <= seen_safe
    assert len(made) == 2 * len(train)


def test_the_answer_names_the_predominant_category() -> None:
    examples = uneven()
    also = examples.targets.copy()
    also[examples.unsafe, 0] = True  # every unsafe image is hateful too
    both = replace(examples, targets=also)

    named = {
        e.answer == CATEGORIES[both.category[e.row]]
        for e in training_examples(both, 0)
        if e.answer is not None
    }

    assert named == {True}


def test_an_unsafe_image_without_a_category_is_left_out() -> None:
    examples = uneven()
    row = int(np.flatnonzero(examples.unsafe & (examples.part == 0))[0])
    known, targets = examples.known.copy(), examples.targets.copy()
    known[row], targets[row] = False, False

    made = training_examples(replace(examples, known=known, targets=targets), 0)

    assert row not in {e.row for e in made}


def test_a_set_without_categories_is_refused() -> None:
    examples = uneven()
    plain = replace(
        examples,
        labels=(UNSAFE,),
        counts={UNSAFE: CATEGORIES},
        targets=examples.unsafe[:, None],
        known=np.ones((len(examples), 1), np.bool_),
    )

    with pytest.raises(UsageError, match="does not say which categories") as raised:
        training_examples(plain, 0)

    assert raised.value.code == "too_few_labels"


def test_a_set_of_which_no_pair_can_be_made_is_refused() -> None:
    examples = examples_with({Category.HATE: 60}, 60)
    every = replace(examples, targets=np.ones_like(examples.targets))

    with pytest.raises(UsageError, match="none is safe for a category") as raised:
        training_examples(every, 0)

    assert raised.value.code == "too_few_labels"


def test_the_same_seed_draws_the_same_and_another_one_others() -> None:
    examples = uneven()

    assert training_examples(examples, 5) == training_examples(examples, 5)
    assert training_examples(examples, 5) != training_examples(examples, 6)


def test_every_epoch_has_an_order_of_its_own() -> None:
    made = training_examples(uneven(), 0)

    first, second = shuffled(len(made), 1, 0).tolist(), shuffled(len(made), 1, 1).tolist()

    assert first != second
    assert sorted(first) == sorted(second) == list(range(len(made)))


@st.composite
def labelled(draw: st.DrawFn) -> Examples:
    """Any labels: several to an image, unknown ones, no safe image at all."""
    labels = draw(st.integers(1, 4))
    n = draw(st.integers(4, 24))
    flat = st.lists(st.booleans(), min_size=n * labels, max_size=n * labels)
    targets = np.array(draw(flat)).reshape(n, labels)
    known = np.array(draw(flat)).reshape(n, labels) | np.array(draw(flat)).reshape(n, labels)
    chosen = CATEGORIES[:labels]
    return Examples(
        keys=tuple(map(str, range(n))),
        labels=tuple(c.value for c in chosen),
        counts={c.value: (c,) for c in chosen},
        targets=targets & known,
        known=known,
        unsafe=np.asarray(targets.any(axis=1)),
        category=np.array([draw(st.integers(-1, labels - 1)) for _ in range(n)]),
        source=("",) * n,
        part=np.zeros(n, np.int64),
        group=np.arange(n),
        left_out={},
    )


@settings(max_examples=120)
@given(labelled(), st.integers(0, 2**31))
def test_whatever_the_labels_are_no_example_contradicts_them(examples: Examples, seed: int) -> None:
    try:
        made = training_examples(examples, seed)
    except UsageError:
        return  # what is refused is tested above

    for example in made:
        columns = [examples.labels.index(c.value) for c in example.scope]
        assert len(set(columns)) == len(columns) > 0
        violated = examples.targets[example.row, columns]
        assert examples.known[example.row, columns].all(), "nothing unknown is listed"
        if example.answer is None:
            assert not violated.any()
        else:
            assert violated[example.scope.index(example.answer)]
    answered = Counter(example.answer is None for example in made)
    assert answered[True] == answered[False] > 0
