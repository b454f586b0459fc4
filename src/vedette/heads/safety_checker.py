"""The Stable Diffusion safety checker's concepts.

Source: CompVis/stable-diffusion-safety-checker, as the diffusers library runs it; Rando et al.,
"Red-Teaming the Stable Diffusion Safety Filter" (2022).
"""

from __future__ import annotations

import numpy as np

from vedette.heads.base import sigmoid
from vedette.types import Float32

_CAREFUL = 0.01
"""Added to what comes after once a special-care score is above 0."""
_SCALE = 100.0
"""CLIP's own logit scale."""


class SafetyChecker:
    """See :class:`vedette.heads.base.Head`. Labels: special care first, then the concepts."""

    unit = True

    def __init__(
        self,
        *,
        special_care_embeds: Float32,
        special_care_embeds_weights: Float32,
        concept_embeds: Float32,
        concept_embeds_weights: Float32,
    ) -> None:
        dim = special_care_embeds.shape[-1]
        for texts, weights in (
            (special_care_embeds, special_care_embeds_weights),
            (concept_embeds, concept_embeds_weights),
        ):
            if texts.ndim != 2 or texts.shape[1] != dim or weights.shape != (len(texts),):
                raise ValueError(f"concepts of shape {texts.shape}, thresholds {weights.shape}")
            if not (np.isfinite(texts).all() and np.isfinite(weights).all()):
                raise ValueError("a concept or threshold that is not finite")
        self._special, self._concepts = (
            (texts / np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), 1e-12)).T
            for texts in (special_care_embeds, concept_embeds)
        )
        self._special_weights = special_care_embeds_weights.astype(np.float64)
        self._concept_weights = concept_embeds_weights.astype(np.float64)
        self.dim = int(dim)
        self.labels = (
            *(f"special-care-{k}" for k in range(1, len(special_care_embeds) + 1)),
            *(f"concept-{k:02}" for k in range(1, len(concept_embeds) + 1)),
        )

    @property
    def parts(self) -> tuple[Float32, Float32, Float32, Float32]:
        """Special-care texts [dim, m] and their thresholds, concepts [dim, k] and theirs."""
        weights = (self._special_weights, self._concept_weights)
        first, second = (one.astype(np.float32) for one in weights)
        return self._special, first, self._concepts, second

    def scores(self, embeddings: Float32) -> Float32:
        """Cosine minus threshold, rounded to three decimals; float32 [n, labels].

        Once a special-care score of a picture is above 0, 0.01 is added to its further
        special-care scores and to all its concepts' before they are rounded. Cosines are float32;
        what follows is float64, as it was in the published code with the numpy of its day.
        """
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        unit = embeddings / np.maximum(norms, np.float32(1e-12))
        special = (unit @ self._special).astype(np.float64) - self._special_weights
        concepts = (unit @ self._concepts).astype(np.float64) - self._concept_weights
        adjustment = np.zeros(len(unit))
        for k in range(special.shape[1]):
            special[:, k] = np.round(special[:, k] + adjustment, 3)
            adjustment[special[:, k] > 0] = _CAREFUL
        concepts = np.round(concepts + adjustment[:, None], 3)
        return np.concatenate([special, concepts], axis=1).astype(np.float32)

    def probabilities(self, scores: Float32) -> Float32:
        """Above 0.5 exactly where a score is above 0, the published decision; not calibrated.

        The half thousandth puts 0 itself below: scores come in thousandths.
        """
        return sigmoid((_SCALE * (scores - 0.0005)).astype(np.float32))
