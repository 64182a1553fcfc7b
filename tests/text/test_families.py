"""T5 and CLIP as text encoders, from file to glyph: small random ones in a folder, with tokenizers of their kinds."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.commands.cli import main
from glyffuser.config import override
from glyffuser.generate.load import load_pipeline
from glyffuser.text.encoder import HUB_IDS, TextEncoder, resolve
from training_runs import Run, finish

TEXTS = ["gold", "a kind of fish (in a river)", "gold, tree"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def save_t5(folder: Path, whole: bool = False) -> None:
    """Save a T5 of width 16; `whole`: with its decoder, as on the hub."""
    from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration, T5TokenizerFast

    words = ["gold", "fish", "kind", "of", "a", "in", "tree", "("]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{word}", -2.0) for word in words)]
    pieces += [(letter, -6.0) for letter in f"▁{LETTERS}-"] + [(sign, -3.0) for sign in "(),;"]
    tokenizer = T5TokenizerFast(vocab=pieces, extra_ids=4)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    kind = T5ForConditionalGeneration if whole else T5EncoderModel
    kind(T5Config(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)


def save_clip(folder: Path, whole: bool = False) -> None:
    """Save a CLIP text tower of width 24 with 40 positions; `whole`: with its image tower, as on the hub."""
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

    pieces = [*LETTERS, *"(),;-", *(f"{sign}</w>" for sign in f"{LETTERS}(),;-"), "go", "ld</w>", "gold</w>"]
    vocabulary = {piece: i for i, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    merges = [("g", "o"), ("l", "d</w>"), ("go", "ld</w>")]
    CLIPTokenizerFast(vocab=vocabulary, merges=merges, model_max_length=40).save_pretrained(folder)
    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": vocabulary["<|startoftext|>"], "eos_token_id": vocabulary["<|endoftext|>"]}
    text = {"vocab_size": len(vocabulary), "max_position_embeddings": 40, "projection_dim": 8, **sizes, **ends}
    torch.manual_seed(0)
    if whole:
        vision = {"image_size": 8, "patch_size": 4, "projection_dim": 8, **sizes}
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    else:
        CLIPTextModel(CLIPTextConfig(**text)).save_pretrained(folder)


FAMILIES: dict[str, tuple[Callable[..., None], int]] = {"t5": (save_t5, 16), "clip": (save_clip, 24)}
parametrize = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Path]:
    made = {}
    for name, (save, _) in FAMILIES.items():
        for whole in (False, True):
            made[name, whole] = tmp_path_factory.mktemp(f"{name}-{'whole' if whole else 'text'}")
            save(made[name, whole], whole)
    return made


def theirs(family: str, folder: Path, text: str) -> torch.Tensor:
    """Token states of one text by the family's own class for the whole model: (L, d)."""
    from transformers import AutoTokenizer, CLIPModel, T5ForConditionalGeneration

    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        if family == "t5":
            return T5ForConditionalGeneration.from_pretrained(folder).eval().encoder(**tokens).last_hidden_state[0]
        return CLIPModel.from_pretrained(folder).eval().text_model(**tokens).last_hidden_state[0]


@parametrize
@pytest.mark.parametrize("whole", [False, True])
def test_states_have_the_encoders_width_and_are_zero_where_masked(folders, family, whole):
    encoder = TextEncoder(str(folders[family, whole]))
    states, mask = encoder.encode(TEXTS)
    assert encoder.dim == FAMILIES[family][1]
    assert states.shape == (3, mask.shape[1], encoder.dim)
    assert [int(n) for n in mask.sum(dim=1)] == [len(encoder.tokenizer(text).input_ids) for text in TEXTS]
    assert (states[~mask] == 0).all()
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@parametrize
def test_states_are_those_of_the_whole_model_with_padding_or_without(folders, family):
    encoder = TextEncoder(str(folders[family, True]))
    states, mask = encoder.encode(TEXTS)
    for text, state, real in zip(TEXTS, states, mask, strict=True):
        assert_close(state[real], theirs(family, folders[family, True], text), rtol=1e-4, atol=1e-5)


def test_long_prompts_are_cut_where_clip_has_no_more_positions(folders):
    encoder = TextEncoder(str(folders["clip", True]))
    assert encoder.limit == 40
    with pytest.warns(UserWarning, match="prompt longer than 40 tokens"):
        states, mask = encoder.encode([" ".join("abcdefghij" * 6)])
    assert mask.shape == (1, 40)
    assert states.isfinite().all()
    with pytest.warns(UserWarning, match=re.escape("longer than 6 tokens; cut: 'fish'")):
        TextEncoder(str(folders["t5", True]), max_length=6).encode(["gold gold gold gold gold fish"])


@parametrize
def test_words_only_knows_punctuation_by_each_familys_marks(folders, family):
    encoder = TextEncoder(str(folders[family, False]), words_only=True)
    text = "gold (a fish), tree;"
    states, mask = encoder.encode([text])
    tokens = encoder.tokenizer.convert_ids_to_tokens(encoder.tokenizer(text).input_ids)
    seen = "".join(t for t, real in zip(tokens, mask[0], strict=True) if real).replace("▁", "").replace("</w>", "")
    assert seen == "goldafishtree"
    assert (states[~mask] == 0).all()


@parametrize
def test_what_cannot_be_read_is_told(folders, family):
    encoder = TextEncoder(str(folders[family, False]))
    with pytest.raises(UserError, match="the prompt is empty"):
        encoder.check("  ")
    assert encoder.check(" gold ") == "gold"


@parametrize
def test_a_folder_that_lacks_weights_is_refused_instead_of_filled_with_random_ones(folders, family, tmp_path):
    for file in folders[family, False].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in sorted(weights) if "layer" in name)
    save_file({k: v for k, v in weights.items() if k != lost}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="cannot load the text encoder"):
        TextEncoder(str(tmp_path))


@parametrize
def test_a_name_that_is_not_in_the_cache_is_one_line_that_says_what_to_set(family, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert resolve(family) == HUB_IDS[family]
    assert main(["train", "--set", f"text.encoder={family}", "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"cannot load the text encoder '{family}'" in line
    assert "text.download=true" in line


@parametrize
@pytest.mark.parametrize("kind", ["unet", "transformer"])
def test_a_model_is_trained_on_each_and_sampled(folders, family, kind, tiny_config, tmp_path):
    folder = folders[family, True]
    sizes = [f"model.kind={kind}", *(["model.block_out_channels=[16]"] if kind == "transformer" else [])]
    override(tiny_config, [f"text.encoder={folder}", "train.max_steps=3", "train.warmup_steps=1", *sizes])
    tiny_config.text.tower, tiny_config.text.tower_steps = 8, 5
    finish(Run(tiny_config, tmp_path / "run"))
    pipe = load_pipeline(tmp_path / "run" / "model")
    assert pipe.unet.config.cross_attention_dim == FAMILIES[family][1]
    assert json.loads((tmp_path / "run" / "model" / "text_encoder" / "config.json").read_text())["encoder"] == str(
        folder
    )
    ((picture,),) = pipe("gold fish", num_inference_steps=2, return_dict=False)
    assert picture.size == (32, 32)
