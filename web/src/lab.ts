/* Noise by hand: a glyph, a noise level, and what the network makes of it. */

import { paintGlyph, paintImage, paintNoise } from "./canvas";
import { get, level } from "./dom";
import type { Engine } from "./engine";
import { normal } from "./noise";
import { alpha, guided, noiseIn, noised, steer, type Image } from "./sampler";

/** A glyph that is there to be noised: what it is called, and what the network is told of it. */
export interface Glyph {
  name: (Node | string)[];
  prompt: string;
  radical: number;
  x0: Image;
}

export class Lab {
  private glyph: Glyph | null = null;
  private seed = 1;
  private asked = 0;
  private x: Image = new Float32Array();
  private readonly levels: number[]; // rising

  constructor(private readonly engine: Engine, denoise: (x: Image, sigma: number, glyph: Glyph) => void) {
    this.levels = engine.facts.slider;
    const range = get<HTMLInputElement>("level");
    range.max = String(this.levels.length - 1);
    range.value = String(Math.floor(this.levels.length * 0.6));
    range.addEventListener("input", () => void this.look());
    get("fresh").addEventListener("click", () => {
      this.seed++;
      void this.look();
    });
    get("denoise").addEventListener("click", () => this.glyph && denoise(this.x, this.sigma, this.glyph));
  }

  private get sigma(): number {
    return this.levels[Number(get<HTMLInputElement>("level").value)];
  }

  take(glyph: Glyph): Promise<void> {
    this.glyph = glyph;
    get("lab-name").replaceChildren(...glyph.name);
    paintGlyph(get("lab-glyph"), glyph.x0, this.engine.facts.levels.margin);
    get<HTMLButtonElement>("denoise").disabled = false;
    return this.look();
  }

  /** Noise the glyph and ask the network; of many calls while the slider moves, only the last is asked. */
  private async look(): Promise<void> {
    const { glyph, sigma } = this, { facts } = this.engine, turn = ++this.asked;
    if (!glyph) return;
    const range = get<HTMLInputElement>("level");
    get("level-said").textContent = `σ = ${level(sigma)}`;
    range.setAttribute("aria-valuetext", `noise level ${level(sigma)}`);
    this.x = noised(glyph.x0, normal(glyph.x0.length, this.seed, 0), sigma);
    const x = this.x;
    paintImage(get("lab-xt"), x, alpha(sigma, facts.schedule));
    await this.idle;
    if (turn !== this.asked) return;
    const { prompt, radical } = glyph;
    const call = this.engine.denoise({ x, sigma, prompt, radical, guided: guided(sigma, facts.interval) });
    this.idle = call.then(() => undefined, () => undefined);
    const x0 = steer(await call, Number(get<HTMLInputElement>("guidance").value));
    if (turn !== this.asked) return;
    paintNoise(get("lab-eps"), noiseIn(x, x0, sigma), x.length);
    paintGlyph(get("lab-x0"), x0, 0);
    get("lab").dataset.sigma = String(sigma);
  }

  private idle: Promise<void> = Promise.resolve();
}
