"""Text encoders and the cache of token states."""

import json
import re
import socket
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.text.cache import EncodedTexts, encode_cached
from glyffuser.text.encoder import TextEncoder, resolve
from tiny import save_tokenizer

TEXTS = ["gold", "", "a kind of fish", "tree; wood (of a tree)"]


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    return TextEncoder()


@pytest.fixture
def tiny(tiny_encoder: Path) -> TextEncoder:
    return TextEncoder(str(tiny_encoder), max_length=20)


@pytest.fixture
def encoded(tiny: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts that the encoder is asked to encode from here on, call by call."""
    calls: list[list[str]] = []
    encode = TextEncoder.encode

    def counted(self: TextEncoder, texts: list[str], **how: bool) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(list(texts))
        return encode(self, texts, **how)

    monkeypatch.setattr(TextEncoder, "encode", counted)
    return calls


def test_minilm_loads_without_a_network(monkeypatch):
    calls = []

    def refuse(*args, **kwargs):
        calls.append(args)
        raise OSError("no network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    encoder = TextEncoder()
    states, mask = encoder.encode(TEXTS)
    assert states.shape == (4, mask.shape[1], encoder.dim)
    assert encoder.dim == 384
    assert calls == []


def test_minilm_states_are_those_of_transformers(minilm):
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(resolve("minilm")), AutoModel.from_pretrained(resolve("minilm"))
    states, mask = minilm.encode(TEXTS)
    for text, state, real in zip(TEXTS, states, mask, strict=True):
        with torch.no_grad():
            expected = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        assert real.sum() == len(expected)
        assert_close(state[real], expected, rtol=1e-4, atol=1e-5)  # padding changes only the rounding
        assert (state[~real] == 0).all()


def test_the_weights_are_the_trained_ones(minilm):
    """Sentences from the model's documentation, with the similarities given there."""
    states, mask = minilm.encode(["That is a happy person", "That is a very happy person", "Today is a sunny day"])
    means = torch.nn.functional.normalize(states.sum(dim=1) / mask.sum(dim=1, keepdim=True), dim=1)
    assert_close(means[0] @ means[1:].T, torch.tensor([0.943, 0.257]), rtol=0, atol=0.002)


def test_encoding_gives_no_gradient_and_no_inference_tensor(tiny):
    with torch.inference_mode():
        states = tiny.encode(["gold"])[0]
    assert not states.requires_grad
    assert not states.is_inference()  # training could not use one


def test_a_long_prompt_is_cut_and_the_warning_says_what_was_cut(tiny):
    with pytest.warns(UserWarning, match=re.escape("prompt longer than 20 tokens; cut: 's t u v w'")):
        states, mask = tiny.encode([" ".join("abcdefghijklmnopqrstuvw"), "a b"])
    assert mask.sum(dim=1).tolist() == [20, 4]
    expected = tiny.encode([" ".join("abcdefghijklmnopqr")])[0]
    assert_close(states[:1], expected)


def test_a_prompt_that_just_fits_is_not_cut(tiny):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tiny.encode([" ".join("abcdefghijklmnopqr")])[1].shape == (1, 20)


def test_the_encoders_own_limit_holds(tiny_encoder):
    encoder = TextEncoder(str(tiny_encoder), max_length=100_000)
    assert encoder.limit == 200  # the tokenizer's
    with pytest.warns(UserWarning, match="prompt longer than 200 tokens"):
        assert encoder.encode(["a " * 1000])[1].shape == (1, 200)
    encoder.model.config.max_position_embeddings = 50
    assert encoder.limit == 50


def test_check_strips_and_lets_pass_what_the_tokenizer_knows(minilm):
    assert minilm.check("  gold \n") == "gold"
    assert minilm.check("café, naïve, 金") == "café, naïve, 金"  # MiniLM's vocabulary has some Chinese characters


@pytest.mark.parametrize("prompt", ["", " ", "\t\n", "\u3000", "\u200b", "\x00"])
def test_a_blank_prompt_is_refused(minilm, prompt):
    with pytest.raises(UserError, match="the prompt is empty; give an English meaning"):
        minilm.check(prompt)


def test_characters_that_cannot_be_read_are_named(minilm):
    with pytest.raises(UserError, match="cannot read '🐟 \U0002a700'; describe the meaning in English"):
        minilm.check("a 🐟 like \U0002a700")


def test_half_a_surrogate_pair_is_refused(tiny_encoder):
    with pytest.raises(UserError, match=r"cannot read '\\ud800'; describe the meaning in English"):
        TextEncoder(str(tiny_encoder)).check("gold \ud800")


@pytest.mark.parametrize("encoder", ["nowhere/nothing", "/nowhere"])
def test_an_unknown_encoder_is_named(encoder):
    with pytest.raises(UserError, match=f"cannot load the text encoder '{encoder}'.*text.download=true"):
        TextEncoder(encoder)


def test_a_folder_that_holds_no_encoder_is_named(tmp_path, tiny_encoder):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot load the text encoder"):
        TextEncoder(str(tmp_path))
    for file in tiny_encoder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot load the text encoder"):
        TextEncoder(str(tmp_path))


def test_t5(tmp_path):
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    model = T5EncoderModel(T5Config(vocab_size=save_tokenizer(tmp_path, "", "[SEP]"), **sizes)).eval()
    model.save_pretrained(tmp_path)
    encoder = TextEncoder(str(tmp_path), max_length=10)
    assert encoder.dim == 16
    with pytest.warns(UserWarning, match=re.escape("cut: 'j k'")):
        states, mask = encoder.encode(["a b", "a b c d e f g h i j k"])
    assert mask.sum(dim=1).tolist() == [3, 10]
    with torch.no_grad():
        expected = model(**encoder.tokenizer("a b", return_tensors="pt")).last_hidden_state
    assert_close(states[:1, :3], expected, rtol=1e-4, atol=1e-5)


def test_saving_keeps_the_configuration_only(tiny, tmp_path):
    tiny.save_pretrained(tmp_path / "text_encoder")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["config.json"]
    settings = json.loads((tmp_path / "text_encoder" / "config.json").read_text())
    assert (settings["encoder"], settings["max_length"]) == (tiny.config.encoder, 20)
    loaded = TextEncoder.from_pretrained(tmp_path, subfolder="text_encoder", torch_dtype=torch.float32)
    assert torch.equal(loaded.encode(TEXTS)[0], tiny.encode(TEXTS)[0])


def test_fingerprint_tells_encoders_apart(tiny, tiny_encoder):
    assert tiny.fingerprint() == TextEncoder(str(tiny_encoder), max_length=20).fingerprint()
    assert tiny.fingerprint() != TextEncoder(str(tiny_encoder), max_length=21).fingerprint()
    before = tiny.fingerprint()
    next(tiny.model.parameters()).data[0, 0] += 1
    assert tiny.fingerprint() != before


def test_cached_states_are_those_of_the_encoder(tiny, tmp_path):
    texts = [*TEXTS, *(f"{'word ' * (i % 3)}{i}" for i in range(300))]  # more than one batch
    calls: list[tuple[int, int]] = []
    cached = encode_cached(tiny, texts, tmp_path, lambda *call: calls.append(call))
    assert calls == [(256, 304), (304, 304)]
    numbers = [3, 0, 1, 303, 0]
    states, mask = cached.batch(torch.tensor(numbers))
    expected, expected_mask = tiny.encode([texts[i] for i in numbers])
    assert torch.equal(mask, expected_mask)
    assert states.dtype == torch.float16
    assert_close(states.float(), expected, rtol=1e-3, atol=1e-3)


def test_a_second_call_does_not_encode(tiny, encoded, tmp_path):
    first = encode_cached(tiny, TEXTS, tmp_path)
    assert len(encoded) == 1
    second = encode_cached(tiny, TEXTS, tmp_path)
    assert len(encoded) == 1
    assert torch.equal(first.states, second.states)
    assert torch.equal(first.starts, second.starts)


def test_texts_that_follow_do_not_make_earlier_ones_be_encoded_again(tiny, encoded, tmp_path, monkeypatch):
    monkeypatch.setattr("glyffuser.text.cache.BLOCK", 2)
    calls: list[tuple[int, int]] = []
    before = encode_cached(tiny, TEXTS[:4], tmp_path)
    assert len(encoded) == 2
    after = encode_cached(tiny, [*TEXTS[:4], "more"], tmp_path, lambda *call: calls.append(call))
    assert len(encoded) == 3
    assert calls == [(5, 5)]
    assert torch.equal(after.starts[:5], before.starts)
    assert torch.equal(after.states[: len(before.states)], before.states)
    assert_close(after.batch(torch.tensor([4]))[0].float(), tiny.encode(["more"])[0], rtol=1e-3, atol=1e-3)


def test_other_texts_have_another_file(tiny, encoded, tmp_path):
    for texts in (TEXTS, TEXTS[::-1], TEXTS[1:]):
        encode_cached(tiny, texts, tmp_path)
    assert len(encoded) == len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("keep", [0, 5, -1])
def test_a_damaged_file_is_made_anew_with_a_warning(tiny, encoded, tmp_path, keep):
    first = encode_cached(tiny, TEXTS, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.warns(UserWarning, match=f"{path.name} is damaged and is rebuilt"):
        again = encode_cached(tiny, TEXTS, tmp_path)
    assert torch.equal(again.states, first.states)
    encode_cached(tiny, TEXTS, tmp_path)
    assert len(encoded) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=10), st.data())
def test_a_batch_is_cut_out_of_the_whole(lengths, data):
    rows = [torch.full((n, 2), float(i + 1)).half() for i, n in enumerate(lengths)]
    texts = EncodedTexts(torch.cat(rows), torch.cumsum(torch.tensor([0, *lengths]), dim=0))
    numbers = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=5))
    states, mask = texts.batch(torch.tensor(numbers))
    assert states.shape[:2] == mask.shape == (len(numbers), max(lengths[i] for i in numbers))
    for i, state, real in zip(numbers, states, mask, strict=True):
        assert real.tolist() == [k < lengths[i] for k in range(mask.shape[1])]
        assert torch.equal(state[real], rows[i])
        assert (state[~real] == 0).all()


def test_words_only_leaves_marks_and_punctuation_out(minilm):
    words = TextEncoder(words_only=True)
    states, mask = words.encode(["gold, metal (of coins)", ""])
    tokens = words.tokenizer(["gold, metal (of coins)"]).input_ids[0]
    seen = [words.tokenizer.decode([token]) for token, real in zip(tokens, mask[0], strict=True) if real]
    assert seen == ["gold", "metal", "of", "coins"]
    assert (states[~mask] == 0).all()
    assert mask[1].sum() == 2  # nothing but marks: they stay, since attention needs something
    whole, everything = minilm.encode(["gold, metal (of coins)", ""])
    assert everything[0].all()
    assert_close(states[0][mask[0]], whole[0][mask[0]])  # the encoder itself reads the whole text


def test_whole_texts_are_the_same_with_words_only(minilm):
    words = TextEncoder(words_only=True)
    for mine, theirs in zip(words.encode(TEXTS, whole=True), minilm.encode(TEXTS), strict=True):
        assert torch.equal(mine, theirs)
    assert words.fingerprint() != minilm.fingerprint() == words.fingerprint(whole=True)
