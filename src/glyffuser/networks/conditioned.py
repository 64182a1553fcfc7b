"""What all denoising networks here share: what they are told and how, their process, and their parameter groups."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.utils import BaseOutput
from torch import Tensor, nn

from glyffuser.base.errors import UserError
from glyffuser.base.names import TEXT_ROUTES
from glyffuser.data.components import SIDES
from glyffuser.diffusion.conditions import Condition, Small
from glyffuser.diffusion.process import Process
from glyffuser.networks.layers import timestep_embedding, zero_init

# How much longer the vectors of parts are than the rows of their table. An optimiser that scales its steps, as Adam
# does, moves a row by about the learning rate each time it is looked up. Few glyphs share a part, so its row would
# learn too slowly.
PART_GAIN = 10.0


@dataclass
class NetworkOutput(BaseOutput):
    """`sample`: what the network predicts (see its `prediction_type`), shape of the input."""

    sample: Tensor


class ConditionedNetwork(ModelMixin, ConfigMixin):
    """A network that predicts noise, clean image or velocity from a noised glyph, its timestep and its text.

    It works on patches: `forward` folds the image, leaves the work to `predict`, and unfolds the result. A subclass
    calls `build_conditioning` before it makes its own layers, and defines `predict` and `edges`. The settings read here
    are `block_out_channels`, `patch_size`, `pooled_dim` and those of its `Process`.
    """

    def build_conditioning(
        self,
        width: int,
        cond_dim: int,
        cross_attention_dim: int,
        pooled_dim: int,
        num_class_embeds: int,
        components: str = "",
        styles: Sequence[str] = (),
        text_route: str = TEXT_ROUTES[0],
    ) -> None:
        """Make the layers of the conditioning vector, of `cond_dim` channels; `width` is the timestep embedding's.

        UserError for an unknown text_route, or for one that takes no vector although there is a tower.
        """
        check_route(text_route, pooled_dim)
        self.time_mlp = nn.Sequential(nn.Linear(width, cond_dim), nn.SiLU(), nn.Linear(cond_dim, cond_dim))
        text_width = pooled_dim or cross_attention_dim
        self.text_mlp = (
            nn.Sequential(
                nn.LayerNorm(text_width), nn.Linear(text_width, cond_dim), nn.SiLU(), nn.Linear(cond_dim, cond_dim)
            )
            if text_route in ("both", "pooled")
            else None
        )
        # Zero at first, so that a network trained without labels can continue with them.
        self.class_embedding = zero_init(nn.Embedding(num_class_embeds, cond_dim)) if num_class_embeds else None
        self.style_embedding = zero_init(nn.Embedding(1 + len(styles), cond_dim)) if styles else None
        # The product of the two says which part is where, and a sum of such products says which parts are where.
        self.part_embedding = zero_init(nn.Embedding(len(components) + 1, cond_dim)) if components else None
        self.place_embedding = nn.Embedding(len(SIDES) + 1, cond_dim) if components else None
        if self.place_embedding is not None:
            nn.init.normal_(self.place_embedding.weight, mean=1.0, std=0.5)

    @abstractmethod
    def predict(self, x: Tensor, cond: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """Folded image x (B, C p^2, H/p, W/p), cond (B, cond_dim), token states context (B, L, D), mask (B, L), True
        where a token is real -> the prediction, folded, shaped like x.
        """

    @abstractmethod
    def edges(self) -> list[nn.Module]:
        """The layers whose weights touch pixels."""

    @property
    def process(self) -> Process:
        """The process that the network was trained for."""
        return Process.from_config(self.config)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter in exactly one group, by its role: see `grouped`."""
        tables = (self.class_embedding, self.style_embedding, self.part_embedding, self.place_embedding)
        return grouped(self, self.edges(), [table for table in tables if table is not None])

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor | None = None,
        class_labels: Tensor | None = None,
        pooled_projections: Tensor | None = None,
        part_labels: Tensor | None = None,
        style_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> NetworkOutput | tuple[Tensor]:
        """Args: sample (B, C, H, W); timestep in [0, T), one number or (B,); encoder_hidden_states (B, L, D);
        encoder_attention_mask (B, L), True where a token is real; class_labels (B,), None = all 0;
        pooled_projections (B, pooled_dim), where the network takes them, else None; part_labels (B, parts, 2), numbers
        of components and places, None = all 0; style_labels (B,), from 1 in the order of its `styles`, None = all 0.
        Returns: NetworkOutput, shape of `sample`.
        """
        told = (encoder_attention_mask, class_labels, pooled_projections, part_labels, style_labels)
        x = F.pixel_shuffle(
            self.predict(*self.read(sample, timestep, encoder_hidden_states, *told)), self.config.patch_size
        )
        return NetworkOutput(sample=x) if return_dict else (x,)

    def read(
        self, sample: Tensor, timestep: Tensor | float, states: Tensor, mask: Tensor | None, *told: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Turn what `forward` takes, in its order, into what `predict` takes."""
        radical, pooled, parts, style = told
        t = torch.as_tensor(timestep, device=sample.device).expand(sample.shape[0])
        mask = None if mask is None else mask.bool()
        context = states.to(self.dtype)  # the property walks through all modules, so it is read only here
        cond = self._condition(t, context, mask, pooled)
        for embedding, labels in ((self.class_embedding, radical), (self.style_embedding, style)):
            if embedding is not None:
                cond = cond + embedding(torch.zeros_like(t, dtype=torch.long) if labels is None else labels)
        if parts is not None:
            cond = cond + self._parts(parts, cond)
        x = F.pixel_unshuffle(sample.to(context.dtype), self.config.patch_size)  # (B, C p^2, H/p, W/p)
        return x, cond, context, mask

    def _condition(self, t: Tensor, context: Tensor, mask: Tensor | None, pooled: Tensor | None) -> Tensor:
        """The conditioning vector (B, cond_dim) without labels: timestep and, where it is told, the text as a whole."""
        cond = self.time_mlp(timestep_embedding(t, self.config.block_out_channels[0]).to(context.dtype))
        if self.text_mlp is None:
            return cond
        if self.config.pooled_dim and pooled is None:
            raise ValueError("this network takes pooled_projections, one vector per text, from its tower")
        return cond + self.text_mlp(masked_mean(context, mask) if pooled is None else pooled.to(context.dtype))

    def _parts(self, parts: Tensor, cond: Tensor) -> Tensor:
        """What parts (B, parts, 2) add to the conditioning vector, shaped like cond: a mean over the named ones."""
        if self.part_embedding is None or self.place_embedding is None:
            return torch.zeros_like(cond)
        there = (parts[..., 0] > 0).to(cond)[..., None]  # (B, parts, 1)
        bound = PART_GAIN * self.part_embedding(parts[..., 0]) * self.place_embedding(parts[..., 1]) * there
        return bound.sum(dim=1) / there.sum(dim=1).clamp(min=1)


def attended_dim(text_route: str, cross_attention_dim: int) -> int:
    """The width of the token states that blocks attend to: 0 where the text reaches a network by another route."""
    return cross_attention_dim if text_route in ("both", "attention") else 0


def check_route(text_route: str, pooled_dim: int) -> None:
    """UserError for an unknown text route, or for one that takes no vector although a tower makes one."""
    if text_route not in TEXT_ROUTES:
        raise UserError(f"model.text_route must be one of {', '.join(TEXT_ROUTES)}, not {text_route!r}")
    if text_route in ("attention", "none") and pooled_dim:
        raise UserError(
            f"model.text_route {text_route} takes no vector for the whole text: leave out the tower that makes it, "
            "with --set text.tower=0, or choose both or pooled"
        )


def grouped(
    network: nn.Module, edges: Sequence[nn.Module], tables: Sequence[nn.Module] = ()
) -> dict[str, list[nn.Parameter]]:
    """Put every parameter of a network into exactly one group, by its role.

    "matrices" lie between hidden layers and map features to features, convolution kernels included; "edges", the
    weights of the layers `edges`, touch pixels; "embeddings", the weights of `tables`, are looked up by labels;
    "vectors" are biases and the scales of norms.
    """
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "edges": [], "embeddings": [], "vectors": []}
    outer, labels = ({id(layer.weight) for layer in layers} for layers in (edges, tables))
    for parameter in network.parameters():
        if id(parameter) in outer:
            groups["edges"].append(parameter)
        elif id(parameter) in labels:
            groups["embeddings"].append(parameter)
        else:
            groups["matrices" if parameter.ndim >= 2 else "vectors"].append(parameter)
    return groups


def arguments(cond: Condition | Small) -> dict[str, Tensor | None]:
    """A condition as keyword arguments, under diffusers' names where it has any; for an upscaler, the small picture."""
    if isinstance(cond, Small):
        return {"low": cond.image, "low_noise": cond.noise}
    return {
        "encoder_hidden_states": cond.states,
        "encoder_attention_mask": cond.mask,
        "class_labels": cond.radical,
        "pooled_projections": cond.pooled,
        "part_labels": cond.parts,
        "style_labels": cond.style,
    }


def masked_mean(states: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the real tokens: (B, L, D), (B, L) -> (B, D)."""
    if mask is None:
        return states.mean(dim=1)
    weight = mask.to(states.dtype)[:, :, None]
    return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
