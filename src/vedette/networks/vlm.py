"""Vision-language networks: transformers' ``AutoModelForImageTextToText`` and their processors.

Of the processor Vedette uses the text: pictures come in as squares of uint8, and are normalised
here. That the processor would make the same of them is checked when a checkpoint is opened, so any
architecture whose processor gives ``input_ids`` and one picture tensor is supported, LLaVA-1.5
first; others (tiles, several resolutions) are refused by what their processor gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vedette.backends.base import PixelNorm
from vedette.compile.quiet import quiet
from vedette.errors import ModelError, UsageError
from vedette.extras import require
from vedette.networks.files import unusable
from vedette.networks.vlm_files import CONFIG, VlmFiles
from vedette.types import UInt8

_GIVEN = {"input_ids", "attention_mask", "pixel_values"}
_NEAR = 2e-5
"""Between our pixels and the processor's, normalised: rounding in float32."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How a network is loaded."""

    precision: str = "auto"
    """``fp32``, ``bf16``, or ``auto``: bf16 on a GPU, else fp32."""
    four_bit: bool = False
    """Weights in four bits (NF4), which needs a GPU and bitsandbytes."""


@dataclass(frozen=True, slots=True, eq=False)
class VlmNetwork:
    """A network with its processor, ready to be asked. Its weights are frozen, in eval mode."""

    model: Any
    """The torch module."""
    processor: Any
    norm: PixelNorm
    side: int
    """px of its square pictures"""
    device: Any
    precision: str

    def with_model(self, model: Any) -> VlmNetwork:
        """The same around another module: one with an adapter."""
        return replace(self, model=model)

    def normalised(self, pixels: UInt8) -> Any:
        """uint8 [n, h, w, 3] as the network takes it: a tensor [n, 3, h, w] on its device."""
        torch = require("torch", extra="zoo")
        planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        x = planes.to(self.device).float() / 255
        shape = (1, 3, 1, 1)
        mean = torch.tensor(self.norm.mean, device=self.device).reshape(shape)
        std = torch.tensor(self.norm.std, device=self.device).reshape(shape)
        return (x - mean) / std

    def conversation(self, text: str) -> str:
        """A question about one picture in the checkpoint's own form, up to where the answer begins.

        Raises:
            ModelError: ``weights_unusable``: a template that cannot be used.
        """
        said = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
        if self.processor.chat_template or getattr(self.processor.tokenizer, "chat_template", None):
            jinja = require("jinja2.exceptions", extra="zoo")
            try:
                written = self.processor.apply_chat_template(said, add_generation_prompt=True)
            except (jinja.TemplateError, ValueError, TypeError, KeyError) as error:
                raise ModelError(
                    f"the checkpoint's chat template fails: {error}", code="weights_unusable"
                ) from error
            return str(written)
        return f"USER: {self.processor.image_token}\n{text} ASSISTANT:"

    def ids(self, text: str) -> tuple[int, ...]:
        """Tokens of a conversation with one picture, the picture's own places included."""
        begin = getattr(self.processor.tokenizer, "bos_token", None)
        again = isinstance(begin, str) and text.startswith(begin)
        square = np.zeros((self.side, self.side, 3), np.uint8)
        with quiet():
            found = self.processor(
                images=[square], text=[text], return_tensors="np", add_special_tokens=not again
            )
        return tuple(int(one) for one in found["input_ids"][0])

    def end(self) -> tuple[int, ...]:
        """The token that ends an answer; none where the tokenizer has none."""
        token = self.processor.tokenizer.eos_token_id
        return () if token is None else (int(token),)


def open_network(
    files: VlmFiles, side: int, norm: PixelNorm, loading: Loading | None = None
) -> VlmNetwork:
    """The network of a checkpoint folder, on a GPU where torch sees one.

    Args:
        files: of the folder.
        side: px of the squares that pictures are made to.
        norm: of their pixels.
        loading: precision.

    Raises:
        ModelError: ``weights_unusable``: weights are missing or of other shapes, an architecture
            that transformers has not, or a processor that wants more than a square.
        UsageError: four bits without a GPU.
        MissingExtraError: torch or transformers, or bitsandbytes for four bits.
    """
    torch = require("torch", extra="zoo")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loading = loading or Loading()
    precision = loading.precision
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "fp32"
    with silent():
        processor = _processor(files)
        _check_pixels(processor, files, side, norm)
        model = _model(files, device, precision, four_bit=loading.four_bit)
    network = VlmNetwork(model, processor, norm, side, device, precision)
    if not (processor.chat_template or processor.tokenizer.chat_template or files.kind == "llava"):
        raise unusable(files.folder / CONFIG, "it has no chat template")
    return network


def quantisation(device_type: str) -> Any:
    """transformers' configuration of weights in four bits, as QLoRA has it (Dettmers et al. 2023).

    Raises:
        UsageError: there is no GPU.
        MissingExtraError: bitsandbytes is not installed.
    """
    if device_type != "cuda":
        raise UsageError(
            "weights in four bits need a CUDA GPU, and torch sees none",
            hint="leave --4bit out: on the CPU a model is loaded in fp32",
        )
    require("bitsandbytes", extra="4bit")
    torch = require("torch", extra="zoo")
    return require("transformers", extra="zoo").BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _processor(files: VlmFiles) -> Any:
    transformers = require("transformers", extra="zoo")
    try:
        found = transformers.AutoProcessor.from_pretrained(files.folder, local_files_only=True)
    except Exception as error:  # whatever a strange configuration provokes
        raise unusable(
            files.pictures_path, f"transformers makes no processor of it: {_first(error)}"
        ) from error
    if not hasattr(found, "tokenizer") or not hasattr(found, "image_processor"):
        raise unusable(files.pictures_path, f"{type(found).__name__} is no image-text processor")
    return found


def _check_pixels(processor: Any, files: VlmFiles, side: int, norm: PixelNorm) -> None:
    """Hold the processor to one normalised square for a picture, equal to ours."""
    square = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    token = getattr(processor, "image_token", None)
    if not isinstance(token, str):
        raise unusable(files.pictures_path, f"{type(processor).__name__} has no image token")
    try:
        given = processor(images=[square], text=[token], return_tensors="np")
    except Exception as error:  # whatever a strange configuration provokes
        raise unusable(files.pictures_path, f"its processor fails: {_first(error)}") from error
    wanted = sorted(set(given.keys()) - _GIVEN)
    pixels = np.asarray(given.get("pixel_values"))
    if wanted or "input_ids" not in given or pixels.shape != (1, 3, side, side):
        told = f"its {type(processor).__name__} gives {', '.join(wanted) or 'no single square'}"
        raise ModelError(
            f"a {files.kind} takes more than one square picture and a text: {told}",
            code="weights_unusable",
            hint="use a LLaVA-1.5, or another model whose processor gives input_ids and one square",
        )
    mean, std = (np.array(three, dtype=np.float32) for three in (norm.mean, norm.std))
    ours = (square.astype(np.float32) / 255 - mean) / std
    if not np.allclose(ours.transpose(2, 0, 1), pixels[0], rtol=0, atol=_NEAR):
        raise unusable(files.pictures_path, "its processor normalises pixels in another way")


def _model(files: VlmFiles, device: Any, precision: str, *, four_bit: bool) -> Any:
    torch = require("torch", extra="zoo")
    transformers = require("transformers", extra="zoo")
    more: dict[str, Any] = {}
    if four_bit:
        more = {"quantization_config": quantisation(device.type), "device_map": {"": device}}
    try:
        model, report = transformers.AutoModelForImageTextToText.from_pretrained(
            files.folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
            **more,
        )
    except Exception as error:  # whatever a strange checkpoint provokes
        raise unusable(
            files.folder / CONFIG, f"transformers opens no model of it: {_first(error)}"
        ) from error
    wrong = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
    if wrong:
        raise unusable(files.folder / CONFIG, f"not this network's weights: {sorted(wrong)[0]}")
    model = model if four_bit else model.to(device)
    return model.eval().requires_grad_(False)


@contextmanager
def silent() -> Iterator[None]:
    """Without transformers' progress bars and remarks."""
    told = require("transformers.utils.logging", extra="zoo")
    shown = told.is_progress_bar_enabled()
    told.disable_progress_bar()
    try:
        with quiet():
            yield
    finally:
        if shown:
            told.enable_progress_bar()


def parameters_of(model: Any) -> int:
    """How many numbers a network's weights are."""
    return sum(weights.numel() for weights in model.parameters())


def _first(error: Exception) -> str:
    """The first line of a library's message, which may run to pages."""
    told: Sequence[str] = str(error).strip().splitlines()
    return f"{type(error).__name__}: {told[0][:200]}" if told else type(error).__name__
