"""What the shared fixtures are made of: a tiny data set, text encoder and configuration; weights that can draw."""

from pathlib import Path

import torch

from glyffuser.config import Config, override

SIZE = 32  # pixels
CHARACTERS = range(0x6C34, 0x6FFF)  # 水 and what follows
GLYPHS = 64  # for training; one more is for testing


def build_tiny_data(folder: Path) -> None:
    """Draw 64 characters to train on and one of the test split."""
    from glyffuser.data.dataset import build_dataset, split_of
    from glyffuser.data.fonts import default_font
    from glyffuser.data.unihan import clean_definition, read_unihan

    unihan = read_unihan()
    defined = [c for c in CHARACTERS if c in unihan.entries and clean_definition(unihan.entries[c].definition_raw)]
    chosen = [c for c in defined if split_of(c) == "train"][:GLYPHS] + [c for c in defined if split_of(c) == "test"][:1]
    build_dataset([default_font()], unihan, folder / "glyphs.parquet", size=SIZE, codepoints=chosen)


def save_tokenizer(folder: Path, start: str, end: str) -> int:
    """Save a tokenizer of single ASCII letters, digits and punctuation, and return the size of its vocabulary.

    `start` and `end` are the special tokens that begin and end a text; "" for none.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *("##" + c for c in letters)]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(piece, pieces.index(piece)) for piece in (start, end) if piece]
    tokenizer.post_processor = processors.TemplateProcessing(f"{start} $A {end}".strip(), None, ends)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=200
    ).save_pretrained(folder)
    return len(pieces)


def save_encoder(folder: Path) -> None:
    """Save a random BERT of width 16."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=save_tokenizer(folder, "[CLS]", "[SEP]"), **sizes)).save_pretrained(folder)


def make_config(data: Path, encoder: Path) -> Config:
    """A run of 8 steps of a network of some thousand parameters."""
    return override(
        Config(),
        [
            f"data.path={data}",
            f"text.encoder={encoder}",
            f"model.sample_size={SIZE}",
            "model.patch_size=4",
            "model.block_out_channels=[8]",
            "model.layers_per_block=1",
            "model.attention_levels=[false]",  # the middle attends in any case
            "model.attention_head_dim=8",
            "model.dropout=0.1",
            "train.batch_size=8",
            "train.max_steps=8",
            "train.warmup_steps=3",
            "train.ema_decay=0.8",
            "train.log_every=1",
            "train.preview_every=100",
            "train.checkpoint_every=5",
        ],
    )


def shake(network: torch.nn.Module) -> None:
    """Add noise to all weights: new ones, or those of a step or two, draw flat grey, whatever they are told."""
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
