"""The cards of CLIP's backbones and of the published heads over them."""

from __future__ import annotations

from collections.abc import Mapping

from vedette.models.base import Checkpoint, ModelCard, WeightsFile
from vedette.resize import Fit
from vedette.taxonomy import Category

_SEXUAL = (Category.SEXUAL,)
_LAION = "LAION-AI/CLIP-based-NSFW-Detector"
_LAION_URL = "https://raw.githubusercontent.com/LAION-AI/CLIP-based-NSFW-Detector/main"
_WEB_PAIRS = "image-text pairs from the web, not published"


def _backbone(
    card_id: str,
    repo: str,
    revision: str,
    sizes: tuple[int, int],
    *,
    licence: str,
    trained_on: str,
    sha256: Mapping[str, str],
) -> ModelCard:
    """A card of an image and text tower.

    ``sizes``: embedding dimensions, and parameters of the image tower. ``sha256``: of the files
    whose hash is published.
    """
    return ModelCard(
        id=card_id,
        revision=revision,
        summary="CLIP image and text tower; gives embeddings, which heads judge",
        licence=licence,
        terms=(
            "no restriction beyond the licence; its card calls any deployed use, commercial or "
            "not, out of its scope"
        ),
        trained_on=trained_on,
        source=f"{repo} on the model hub",
        sha256=None,
        labels={},
        fit=Fit(224, "cover", "bicubic"),
        precisions=("fp32", "bf16"),
        extra="zoo",
        weights=Checkpoint(
            repo,
            revision,
            (
                WeightsFile("config.json", sha256.get("config.json")),
                WeightsFile("preprocessor_config.json", sha256.get("preprocessor_config.json")),
                WeightsFile("model.safetensors", sha256.get("model.safetensors")),
                WeightsFile("tokenizer.json", sha256.get("tokenizer.json")),
            ),
        ),
        embedding=sizes[0],
        parameters=sizes[1],
        reference="transformers' CLIPVisionModelWithProjection",
    )


_OPENAI = "not stated in the checkpoint's repository; the code that it came with is MIT"
CLIP_B32 = _backbone(
    "clip-b32",
    "openai/clip-vit-base-patch32",
    # Not the head of main, which holds a pickle only: the commit that added safetensors.
    "b33cedfd0df4e43b8238760678fcc89e1a0d38b3",
    (512, 87_849_216),
    licence=_OPENAI,
    trained_on=_WEB_PAIRS,
    sha256={
        "model.safetensors": "99d28a652e6ec46629ab7047a0ac82c69b1fe11e0ce672c43af65d3a9a3fc05d",
        "tokenizer.json": "b556ac8c99757ffb677208af34bc8c6721572114111a6e0aaf5fa69ff0b8d842",
    },
)
CLIP_L14 = _backbone(
    "clip-l14",
    "openai/clip-vit-large-patch14",
    "32bd64288804d66eefd0ccbe215aa642df71cc41",
    (768, 303_966_208),
    licence=_OPENAI,
    trained_on=_WEB_PAIRS,
    sha256={
        "config.json": "8a09b467700c58138c29d53c605b34ebc69beaadd13274a8a2af8ad2c2f4032a",
        "preprocessor_config.json": (
            "910e70b3956ac9879ebc90b22fb3bc8a75b6a0677814500101a4c072bd7857bd"
        ),
        "model.safetensors": "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
        "tokenizer.json": "a83e0809aa4c3af7208b2df632a7a69668c6d48775b3c3fe4e1b1199d1f8b8f4",
    },
)
CLIP_H14 = _backbone(
    "clip-h14",
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "1c2b8495b28150b8a4922ee1c8edee224c284c0c",
    (1024, 632_076_800),
    licence="MIT",
    trained_on="LAION-2B, the English part of LAION-5B, uncurated image-text pairs from the web",
    sha256={
        "model.safetensors": "036e6e2bd49697511f4f8b8cb5ee465f93025f7a69a145eadeb9a881ace9b18d",
    },
)
BACKBONES = {card.id: card for card in (CLIP_B32, CLIP_L14, CLIP_H14)}


def _head(
    name: str,
    backbone: ModelCard,
    weights: Checkpoint,
    labels: dict[str, tuple[Category, ...]],
    *,
    summary: str,
    licence: str,
    terms: str = "none beyond the licence",
    trained_on: str,
    commercial: bool = True,
    reference: str,
) -> ModelCard:
    return ModelCard(
        id=name,
        revision=weights.revision,
        summary=summary,
        licence=licence,
        terms=terms,
        trained_on=trained_on,
        source=f"{weights.repo}: {', '.join(file.path for file in weights.files)}",
        sha256=weights.files[0].sha256 if len(weights.files) == 1 else None,
        labels=labels,
        fit=backbone.fit,
        precisions=backbone.precisions,
        extra="zoo",
        commercial=commercial,
        weights=weights,
        needs=(backbone,),
        embedding=backbone.embedding,
        parameters=backbone.parameters,
        reference=reference,
    )


# What UnsafeBench asks it about (Table 3): harassment here means sexualised pictures of people.
_NSFW = {"nsfw": (Category.HARASSMENT, Category.SEXUAL)}
_LAION_DATA = "CLIP embeddings of pictures of LAION-5B that were labelled by hand, not published"


def _laion(name: str, backbone: ModelCard, file: WeightsFile, what: str, ref: str) -> ModelCard:
    return _head(
        name,
        backbone,
        Checkpoint(_LAION, "main", (file,), _LAION_URL),
        dict(_NSFW),
        summary=what,
        licence="MIT",
        trained_on=_LAION_DATA,
        reference=ref,
    )


NSFW_L14 = _laion(
    "clip-l14/nsfw-detector",
    CLIP_L14,
    WeightsFile(
        "clip_autokeras_binary_nsfw.zip",
        "905520bb0336accc73ee282c605d926aef90cf14248889d44b9cee50eef71f8a",
    ),
    "LAION's NSFW detector over CLIP ViT-L/14, its tables included",
    "TensorFlow 2.15 on the published SavedModel",
)
NSFW_B32 = _laion(
    "clip-b32/nsfw-detector",
    CLIP_B32,
    WeightsFile(
        "clip_autokeras_nsfw_b32.zip",
        "78715ab9d64485167e8c9ade3b8e6761a17a16c24d114bd47431ac1dab46462b",
    ),
    "LAION's NSFW detector over CLIP ViT-B/32, its tables included",
    "TensorFlow 2.15 on the published SavedModel",
)
NSFW_H14 = _laion(
    "clip-h14/nsfw-detector",
    CLIP_H14,
    WeightsFile("h14_nsfw.pth"),
    "LAION's NSFW detector over CLIP ViT-H/14",
    "the published layers in plain torch",
)
NSFW_PORT = _head(
    "clip-l14/nsfw-detector-unsafebench",
    CLIP_L14,
    Checkpoint("yiting/NSFWDetector", "main", (WeightsFile("clip_autokeras_binary_nsfw.pth"),)),
    dict(_NSFW),
    summary="the port of LAION's L/14 detector that UnsafeBench measured, without its tables",
    licence="not stated for the port; the original is MIT",
    terms="none stated beyond the original's licence",
    trained_on=_LAION_DATA,
    commercial=False,  # nobody has said that it may
    reference="the published layers in plain torch",
)
_VIOLENCE: dict[str, tuple[Category, ...]] = {
    "nonviolent": (),
    "violent": (Category.VIOLENCE,),
}


def _violence(name: str, backbone: ModelCard, file: WeightsFile) -> ModelCard:
    return _head(
        name,
        backbone,
        Checkpoint(_LAION, "main", (file,), _LAION_URL),
        dict(_VIOLENCE),
        summary=f"LAION's two violence vectors over {backbone.id}",
        licence="MIT",
        trained_on="not published",
        reference="the published dot products",
    )


VIOLENCE_L14 = _violence(
    "clip-l14/violence",
    CLIP_L14,
    WeightsFile(
        "violence_detection_vit_l_14.npy",
        "cc08f81ef50b1ef71452ddc87285fe6fbbc01b6fe8f8b8c24482c386ef2ab7e1",
    ),
)
VIOLENCE_B32 = _violence(
    "clip-b32/violence",
    CLIP_B32,
    WeightsFile(
        "violence_detection_vit_b_32.npy",
        "76909cca3e77abbbb21313895756773a9c6fb26c9cc743f3ef0625f025741982",
    ),
)
Q16 = _head(
    "q16",
    CLIP_L14,
    Checkpoint(
        "ml-research/Q16",
        "main",
        (
            WeightsFile(
                "data/ViT-L-14/prompts.p",
                "9b6c411824c2f64e0f847aa3c9f2b15b8e3a6c75e0efd82f2f672670c97ccad5",
            ),
        ),
        "https://raw.githubusercontent.com/ml-research/Q16/main",
    ),
    {
        "appropriate": (),
        # UnsafeBench's Table 3: all but Sexual and Spam.
        "inappropriate": tuple(
            category for category in Category if category not in (Category.SEXUAL, Category.SPAM)
        ),
    },
    summary="Q16: appropriate or inappropriate; nine categories at once, not Sexual",
    licence="MIT, by the badge of its repository",
    terms="SMID, which it was tuned on, was published for research: its terms bind the prompts",
    trained_on="SMID (2,941 photographs rated for morality), over CLIP ViT-L/14",
    commercial=False,
    reference="the published arithmetic",
)
MULTIHEADED = _head(
    "multiheaded",
    CLIP_L14,
    Checkpoint(
        "yiting/MultiHeaded",
        "main",
        (
            WeightsFile(
                "sexual.pt", "5ad688fab802fedb7a565bfb98be1d4aa522ee9e98934796309738b046b33c80"
            ),
            WeightsFile(
                "violent.pt", "d98584df4cc8b7eee55d528993ae387933b19ccc790fe723ab0cedc473aa8c84"
            ),
            WeightsFile(
                "disturbing.pt", "f570f4d0c5db699c20d0d0a6944a9b783bea585e595f2997c1fe347aaab1fe0a"
            ),
            WeightsFile(
                "hateful.pt", "cd897b3b8081910d519510f17583a0e03e51a853f531daa605d4dfeec035f568"
            ),
            WeightsFile(
                "political.pt", "adae7fc1c794442f825bb5d9b2ce992a7108ebb433d102cc789922e4b31e14a1"
            ),
        ),
    ),
    {
        "sexual": (Category.SEXUAL,),
        "violent": (Category.VIOLENCE,),
        "disturbing": (Category.SHOCKING,),
        "hateful": (Category.HATE,),
        "political": (Category.POLITICAL,),
    },
    summary="MultiHeaded: sexual, violent, disturbing, hateful, political, a head for each",
    licence="not stated",
    terms="none stated; published for research on unsafe generated images (CCS 2023)",
    trained_on="800 generated images labelled by the paper's authors",
    commercial=False,
    reference="the published layers in plain torch",
)
HEADS = {
    "laion-nsfw-l14": NSFW_L14,
    "laion-nsfw-b32": NSFW_B32,
    "laion-nsfw-h14": NSFW_H14,
    "laion-nsfw-l14-unsafebench": NSFW_PORT,
    "laion-violence-l14": VIOLENCE_L14,
    "laion-violence-b32": VIOLENCE_B32,
    "q16": Q16,
    "multiheaded": MULTIHEADED,
}
"""Cards by the head's name in :mod:`vedette.heads.registry`."""
