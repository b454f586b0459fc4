"""The way of all heads that stand on a frozen backbone: a set, and its embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vedette.cli.train.common import Asked, Training, training

if TYPE_CHECKING:
    from vedette.settings import Settings
    from vedette.train.data import SetOptions, TrainingSet
    from vedette.train.features import Features

Backbone = Annotated[
    str,
    typer.Option("--model", "-m", help="What gives the embeddings: clip-l14, vit:FOLDER, dummy."),
]
Store = Annotated[
    Path | None,
    typer.Option("--store", help="Folder that keeps embeddings by their image. [the cache]"),
]


@contextmanager
def head_training(
    asked: Asked, backbone: str, store: Path | None, more: Mapping[str, Any]
) -> Iterator[tuple[Training, TrainingSet, Features]]:
    """A training on the embeddings of a set: of pictures, or of a folder that was embedded.

    Args:
        asked: what every training is asked.
        backbone: gives the embeddings; of an embedded folder, the one that it names.
        store: where embeddings are kept; None: in the cache.
        more: the trainer's own options as JSON values, see :func:`training`.

    Yields:
        The training; the images that have an embedding, which is what
        :meth:`Training.finish` takes as its ``data``; and their embeddings.

    Raises:
        UsageError: the backbone gives no embeddings, or is not the folder's; an option that says
            what a folder's labels mean.
        VedetteError: what :func:`training` raises.
    """
    from vedette.embeddings.folder import is_embedded
    from vedette.models.embedder import open_backbone
    from vedette.settings import load_settings
    from vedette.train.features import features_of, options_of

    whole = {**more, "backbone": backbone}
    if is_embedded(asked.data):
        with _embedded(asked, backbone, whole) as found:
            yield found
        return
    model = open_backbone(backbone, options_of(load_settings(asked.config)))  # before any decoding
    with training(asked, {**whole, "backbone_model": model.card.model}) as one:
        data, features = features_of(one.data, backbone, one.settings, store, one.say, model)
        yield one, data, features


@contextmanager
def _embedded(
    asked: Asked, backbone: str, more: Mapping[str, Any]
) -> Iterator[tuple[Training, TrainingSet, Features]]:
    from vedette.errors import UsageError
    from vedette.train.embedded import check_backbone, read_embedded

    folder = Path(asked.data)
    if asked.fmt != "auto" or asked.labels is not None:
        raise UsageError(
            f"{folder} has its labels already: --format and --labels say nothing about it",
            hint="give them to vedette embed",
        )
    check_backbone(folder, backbone)
    found: list[Features] = []

    def read(
        _: Asked, settings: Settings, options: SetOptions, say: Callable[[str], None]
    ) -> TrainingSet:
        data, features = read_embedded(folder, settings, options, say)
        found.append(features)
        return data

    with training(asked, more, read) as one:
        yield one, one.data, found[0]
