"""Training the judges, and measuring them on glyphs they have not seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.base.weights import weights_hash
from glyffuser.data.captions import Captions, build_captions
from glyffuser.data.dataset import GlyphData, split_of
from glyffuser.judge.contrastive import Contrastive, ContrastiveSettings, Pairs, captions_of, train_contrastive
from glyffuser.judge.dictionary import Dictionary, build_dictionary
from glyffuser.judge.flaws import FLAWS, flawed
from glyffuser.judge.judges import Judges
from glyffuser.judge.plausibility import (
    CALIBRATION,
    Plausibility,
    PlausibilitySettings,
    auc,
    check_size,
    train_plausibility,
)
from glyffuser.judge.prompts import PROMPTS
from glyffuser.judge.recogniser import Recogniser, RecogniserSettings, held_out_characters, train_recogniser
from glyffuser.text.cache import EncodedTexts
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.prior import RadicalPrior, sentence, train_prior

FLAWED_GLYPHS = 420  # of each kind, to measure with

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Material:
    """What the judges are trained on and measured with.

    fonts: training split in several fonts, for the recogniser; data, test: the two splits of the model's own data set;
    unseen: training split in a font that `fonts` lacks, or None; encoder, texts: the text encoder and its token states
    of all captions of `data`, which only a new prior needs.
    """

    fonts: GlyphData
    data: GlyphData
    test: GlyphData
    unseen: GlyphData | None
    encoder: TextEncoder
    texts: EncodedTexts | None = None


def selector_settings(seed: int = 0) -> tuple[RecogniserSettings, PlausibilitySettings]:
    """How a selector is trained: smaller than the judges, from another seed and on other flaws.

    It need not be shown blurred or doubled glyphs: models do not draw them, and how well it notices them tells how far
    it sees beyond what it was taught.
    """
    kinds = tuple(kind for kind in FLAWS if kind not in ("blur", "overlay"))
    reader = RecogniserSettings((24, 48, 96, 128), feature_dim=128, character_dim=32, epochs=3, seed=seed + 1)
    return reader, PlausibilitySettings((16, 32, 64, 96), kinds=kinds, steps=1500, seed=seed + 1)


def train_judges(
    material: Material,
    recogniser: RecogniserSettings,
    plausibility: PlausibilitySettings,
    report: Report,
    prior: RadicalPrior | None = None,
) -> Judges:
    """Train recogniser and plausibility, and the prior if none is given; `report(fraction, text)` tells how far.

    UserError, before anything is trained, for data on which plausibility cannot be trained or calibrated.
    """
    calibrating(material.data, plausibility)
    for reader, epoch in train_recogniser(material.fonts, recogniser):  # noqa: B007
        report(0.6 * epoch.done, f"recogniser, loss {epoch.loss:.2f}, {epoch.speed:.0f} glyphs/s")
    form = train_form(material.data, plausibility, lambda done, text: report(0.6 + 0.35 * done, text))
    report(0.95, "prior")
    return Judges(reader, form, prior or fit_prior(material))


def fit_prior(material: Material) -> RadicalPrior:
    """The prior, from all captions of the data set."""
    if material.texts is None:
        raise ValueError("a prior is fitted on the token states of the captions; the material has none")
    captions = build_captions(material.data.definitions, material.data.senses)
    return train_prior(captions, material.texts, material.data.radicals, material.encoder.fingerprint())


def train_form(data: GlyphData, settings: PlausibilitySettings, report: Report) -> Plausibility:
    """The plausibility network, calibrated on characters of `data` that it was not trained on."""
    real = calibrating(data, settings)
    for network, epoch in train_plausibility(data, settings):  # noqa: B007
        report(epoch.done, f"plausibility, loss {epoch.loss:.3f}, {epoch.speed:.0f} glyphs/s")
    network.calibrate(real)
    return network


def calibrating(data: GlyphData, settings: PlausibilitySettings) -> np.ndarray:
    """The glyphs uint8 (N, 128, 128) that are kept from training, to calibrate with.

    UserError for too few of them, and for glyphs of another size.
    """
    check_size(data)
    real = data.images[held_out_characters(data.codepoints, settings.held_out)]
    if len(real) < CALIBRATION:
        raise UserError(f"calibration needs {CALIBRATION} real glyphs kept from training, but there are {len(real)}")
    return real


def read_pairs(
    data: GlyphData,
    features: Tensor,
    captions: Captions,
    texts: EncodedTexts,
    recogniser: Recogniser,
    encoder: TextEncoder,
) -> Pairs:
    """What the contrastive model learns from a training split and the recogniser's features (N, F) of its glyphs.

    `texts`: the encoder's token states of its `captions`.
    """
    numbers = torch.arange(len(captions.texts))
    sentences = torch.cat([sentence(*texts.batch(part)) for part in numbers.split(512)])
    hashes = encoder.fingerprint(whole=True), weights_hash(recogniser)
    return Pairs(features, data.codepoints, captions, sentences, *hashes)


def fit_contrastive(
    data: GlyphData,
    recogniser: Recogniser,
    encoder: TextEncoder,
    texts: EncodedTexts,
    settings: ContrastiveSettings,
    report: Report,
) -> tuple[Contrastive, Dictionary]:
    """A contrastive model trained on the training split of a data set, and the dictionary of both splits.

    `texts`: token states of `captions_of` the training split. `report(fraction, text)` tells how far it is.
    """
    taught = np.flatnonzero([split_of(codepoint) == "train" for codepoint in data.codepoints.tolist()])
    seen = data.select(taught)
    captions = captions_of(seen)
    features = recogniser.read(data.images).features
    pairs = read_pairs(seen, features[taught], captions, texts, recogniser, encoder)
    for network, done, loss in train_contrastive(pairs, settings):  # noqa: B007
        report(0.5 + 0.5 * done, f"contrastive model, loss {loss:.3f}")
    network.bfloat16().float()  # as it will be saved: the dictionary is that of the saved model
    number = {text: i for i, text in enumerate(captions.texts)}
    new = sorted({*data.definitions} - number.keys())
    number |= {text: len(captions.texts) + i for i, text in enumerate(new)}
    parts = [sentence(*encoder.encode(new[i : i + 256], whole=True)) for i in range(0, len(new), 256)]
    sentences = torch.cat([pairs.sentences, *parts])[[number[definition] for definition in data.definitions]]
    return network, build_dictionary(network, data, features, sentences)


def measure_judges(judges: Judges, material: Material, held_out: float) -> dict[str, Any]:
    """How right the judges are on glyphs they were not trained on; docs/EVALUATION.md says what each number means."""
    return {
        "recogniser": measure_recogniser(judges, material, held_out),
        "plausibility": measure_plausibility(judges.plausibility, material.test.images),
        "prior": measure_prior(judges, material),
    }


def measure_recogniser(judges: Judges, material: Material, held_out: float) -> dict[str, dict[str, float]]:
    """Share of radicals read correctly and mean error of the strokes: for unseen characters in each seen font, for the
    model's own test split, and for unseen and seen characters in an unseen font.
    """

    def scores(data: GlyphData, rows: np.ndarray) -> dict[str, float]:
        reading = judges.recogniser.read(data.images[rows])
        radical = reading.radical.argmax(dim=1).numpy() + 1 == data.radicals[rows]
        error = np.abs(reading.strokes.numpy() - data.strokes[rows])
        return {"n": len(rows), "radical": float(radical.mean()), "stroke_error": float(error.mean())}

    result = {}
    fonts = np.array(material.fonts.fonts)
    unseen = held_out_characters(material.fonts.codepoints, held_out) & (material.fonts.radicals > 0)
    for font in sorted(set(fonts)):
        result[f"unseen characters, {font}"] = scores(material.fonts, np.flatnonzero(unseen & (fonts == font)))
    result["test split"] = scores(material.test, np.arange(len(material.test)))
    if material.unseen is not None:
        name, new = material.unseen.fonts[0], held_out_characters(material.unseen.codepoints, held_out)
        result[f"unseen font {name}, unseen characters"] = scores(material.unseen, np.flatnonzero(new))
        result[f"unseen font {name}, seen characters"] = scores(material.unseen, np.flatnonzero(~new)[:4000])
    return result


def measure_plausibility(network: Plausibility, images: np.ndarray, kinds: Sequence[str] = tuple(FLAWS)) -> dict:
    """Area under the curve and flagged share for each kind of synthetic flaw, and the flagged share of the real glyphs.

    `images`: these real glyphs, uint8 (N, H, H).
    """
    real, threshold = network.score(images)[0], network.config.threshold
    result: dict[str, dict[str, float] | float] = {"real_flagged": float((real > threshold).double().mean())}
    for kind in kinds:
        rng = np.random.default_rng(0)
        pictures = []
        for i in range(min(FLAWED_GLYPHS, len(images))):
            glyph, other = (1 - images[j].astype(np.float32) / 255 for j in (i, rng.integers(len(images))))
            pictures.append((255 * (1 - flawed(kind, glyph, other, rng)[0])).round().astype(np.uint8))
        scores = network.score(np.stack(pictures))[0]
        result[kind] = {"auc": auc(real, scores), "flagged": float((scores > threshold).double().mean())}
    return result


def measure_prior(judges: Judges, material: Material) -> dict[str, float]:
    """How often the likeliest radical is right: for held-out definitions, and for the prompts of the evaluation."""
    of_test = judges.expect(material.encoder, material.test.definitions).argmax(1).numpy() + 1
    of_prompts = judges.expect(material.encoder, [prompt.text for prompt in PROMPTS]).argmax(1).tolist()
    return {
        "test definitions": float((of_test == material.test.radicals).mean()),
        "prompts": float(np.mean([i + 1 in p.radicals for i, p in zip(of_prompts, PROMPTS, strict=True)])),
    }
