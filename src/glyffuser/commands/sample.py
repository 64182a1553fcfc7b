"""`glyffuser sample`: draw glyphs."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from glyffuser.base.errors import UserError
from glyffuser.base.names import SAMPLER_NAMES, SPACINGS
from glyffuser.commands.export import OUTLINES
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, importing, need_extra, open_pipeline, print_results
from glyffuser.config import SAMPLER, UPSCALER
from glyffuser.generate.lists import read_list
from glyffuser.generate.request import LIST, Request

ENGINES = ("torch", "onnx")
NO_PROMPT = 'give at least one English meaning, for example: glyffuser sample "gold"'


@dataclass
class Sample:
    """Draw glyphs for one or more English meanings.

    Example: glyffuser sample "gold" "a kind of fish" -n 16

    Writes one PNG per glyph, and per prompt a grid and a JSON with the settings. The same command gives the same
    pictures. Several processes share the work: torchrun --nproc-per-node 2 -m glyffuser sample --list prompts.txt
    """

    prompts: Positional[tuple[str, ...]] = ()
    """English meanings, each in quotes; none for a model that takes no text."""
    listed: Annotated[Path | None, arg(name="list")] = None
    """A text file (UTF-8) with more meanings, one per line; lines that begin with # are left out."""
    request: OmitArgPrefixes[Request] = field(default_factory=Request)
    new: Flag = False
    """Leave out glyphs that exist as characters, and draw others in their place; the default with --best-of."""
    no_new: Flag = False
    """Keep glyphs that exist as characters, even with --best-of."""
    out: Path = Path("out")
    """Folder for the pictures."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    engine: str = "torch"
    """torch, or onnx: the denoiser that `glyffuser onnx` wrote, which in int8 is quicker on a CPU (docs/ONNX.md)."""
    onnx: Path = Path("onnx")
    """For --engine onnx: the folder with its files."""
    upscaler: UseAppendAction[tuple[Path, ...]] = ()
    """For --upscale: a folder that `glyffuser train` wrote, for each stage except 128 to 512 pixels (bundled)."""
    svg: Flag = False
    """Also write the outline of each glyph, as an SVG beside its PNG."""
    again: Path | None = None
    """A JSON written beside glyphs: draw those glyphs again, byte for byte. Prompt and settings come from it."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        if LIST in (self.request.sampler, self.request.spacing):
            self._list()
            return
        prompts = [*self.prompts, *([] if self.listed is None else read_list(self.listed).values())]
        if self.again is not None and (prompts or self.request != Request() or self.new or self.no_new):
            raise UserError("--again takes prompt and settings from its file; leave out all others")
        if self.new and self.no_new:
            raise UserError("--new and --no-new ask for opposite things; give one of them")
        if self.again is None and not prompts and self.model == "bundled":
            raise UserError(NO_PROMPT)
        if self.upscaler and self.again is None and self.request.upscale is None:
            raise UserError("--upscaler says how glyphs are enlarged; say to what size with --upscale, for example 512")
        if self.svg:
            need_extra("export", *OUTLINES)
        with importing():
            from glyffuser.base.processes import Crew
            from glyffuser.generate.cascade import check_used, load_upscalers
            from glyffuser.generate.files import chain_of, read_record, sample_to_folder
            from glyffuser.judge.novelty import load_ideographs

        crew = Crew.joined()
        with ThreadPoolExecutor(1) as beside:  # unpacking them leaves the interpreter free for the model meanwhile
            beside.submit(load_ideographs)  # which caches them, or raises again when they are needed
            enlarging = self.again is not None or self.request.upscale is not None
            upscalers = load_upscalers([UPSCALER, *self.upscaler]) if enlarging else []
            pipe = self._pipeline()
        prompts = prompts or ([""] if pipe.unconditional else [])
        if self.again is None and not prompts:
            raise UserError(NO_PROMPT)
        if self.again is not None:
            requests = [read_record(self.again, pipe, upscalers)]
        else:
            new = self.new if self.new or self.no_new else None
            requests = [dataclasses.replace(self.request, prompt=prompt, new=new) for prompt in prompts]
            check_used(self.upscaler, upscalers[1:], chain_of(pipe, self.request, upscalers))
        with Progress("denoising") as progress:
            results = sample_to_folder(pipe, requests, self.out, progress, upscalers, crew)
        drawings = self._outlines([glyph for r in results for glyph in r.glyphs]) if self.svg else {}
        lines = [
            f"{r.prompt or 'no prompt'}: {len(r.glyphs)} glyphs in {r.seconds:.1f} s, "
            f"all in {r.grid}{existing(r.existing)}"
            for r in results
        ]
        lines += [f"{len(drawings)} outlines, each beside its picture: *.svg"] if drawings else []
        facts = [
            dataclasses.asdict(r) | ({"svg": [drawings[g] for g in r.glyphs]} if drawings else {}) for r in results
        ]
        print_results(self.json, facts, lines)

    def _list(self) -> None:
        """Print which samplers, or spacings, there are, and what each is good for."""
        from glyffuser.generate.measured import read_table, sampler_list, spacing_list

        table = read_table()
        if self.request.sampler == LIST:
            facts, lines = sampler_list(SAMPLER_NAMES, SPACINGS[0], table)
        else:
            facts, lines = spacing_list(SPACINGS, SAMPLER, table)
        print_results(self.json, facts, lines)

    def _outlines(self, glyphs: list[Path]) -> dict[Path, Path]:
        """The SVG of each picture, written beside it."""
        from glyffuser.export.svg import write_svgs

        return {glyph: written.svg for glyph, written in zip(glyphs, write_svgs(glyphs), strict=True)}

    def _pipeline(self) -> Any:
        """The model, run by the engine that was asked for."""
        if self.engine not in ENGINES:
            raise UserError(f"unknown engine {self.engine!r}; choose one of {', '.join(ENGINES)}")
        if self.engine == "torch":
            return open_pipeline(self.model)
        need_extra("onnx", "onnx", "onnxruntime")
        with importing():
            from glyffuser.export.engine import with_onnx

        return with_onnx(open_pipeline(self.model), self.onnx)


def existing(chars: list[str]) -> str:
    """What to say about glyphs that exist already."""
    if not chars:
        return ""
    return f"; {len(chars)} exist already, as {' '.join(chars)}: --new draws others"
