/* The bench: one or two glyphs on their way out of the same noise, every step open to the hand. */

import { paintGlyph, paintImage, paintNoise } from "./canvas";
import { calm, get, level, painted } from "./dom";
import type { Engine } from "./engine";
import { Lane, type View } from "./lane";
import { normal } from "./noise";
import { alpha, guided, type Image } from "./sampler";


/** What may be drawn: a prompt from noise, or a glyph that has been noised, from its noise level down. */
export interface From {
  prompt: string;
  radical?: number;
  x?: Image;
  sigma?: number;
}
export interface Seen {
  view: View;
  step: number;
}
/** What has become of a drawing. */
export type Course = "drawing" | "stopped" | "drawn";

export class Bench {
  private lanes: Lane[] = [];
  private step = -1; // none is shown yet
  private round = 0; // a drawing goes on while this is its own number
  private drawing = 0; // number of the newest one
  private course: Course = "drawn";
  private playing = false;
  private busy: Promise<void> = Promise.resolve();
  private views: View[] = [];

  /** `shown(seen)` hears what each lane shows; `began()` that there are new lanes; `told(course)` what has become of
   * the newest drawing, until it is drawn. */
  constructor(
    private readonly engine: Engine,
    private readonly began: () => void,
    private readonly shown: (seen: Seen[]) => void,
    private readonly told: (course: Course) => void,
  ) {
    const press = (id: string, act: () => void) => get(id).addEventListener("click", act);
    press("back", () => this.go(this.step - 1));
    press("forward", () => this.go(this.step + 1));
    press("first", () => this.go(0));
    press("play", () => (this.playing ? this.pause() : this.lanes.length && void this.play()));
    get("step").addEventListener("input", () => this.go(Number(get<HTMLInputElement>("step").value)));
    get("guidance").addEventListener("input", () => this.go(this.step));
  }

  private get scale(): number {
    return Number(get<HTMLInputElement>("guidance").value);
  }

  /** What lane k shows now. */
  view(k = 0): View | undefined {
    return this.views[k];
  }

  /** What all lanes show now. */
  seen(): Seen[] {
    return this.views.map((view) => ({ view, step: this.step }));
  }

  plan(k = 0): Lane["plan"] | undefined {
    return this.lanes[k]?.plan;
  }

  /** Draw from pure noise, or from where a glyph was noised to; resolves at the end, or when it is stopped. */
  async draw(from: From[]): Promise<void> {
    const round = ++this.round, drawing = ++this.drawing, { facts } = this.engine;
    this.playing = true;
    this.course = "drawing";
    this.told(this.course);
    const seed = Number(get<HTMLInputElement>("seed").value) >>> 0;
    const steps = get<HTMLSelectElement>("steps").value, sampler = get<HTMLSelectElement>("sampler").value;
    const size = facts.shape.reduce((a, b) => a * b);
    const lanes: Lane[] = [], said: string[] = [];
    for (const { prompt, radical, x, sigma } of from) {
      const told = radical ?? 0;
      const grid = facts.grids[steps], below = grid.filter((one) => one < (sigma ?? Infinity) * 0.98);
      const levels = sigma === undefined ? grid : [sigma, ...below];
      const start = x ?? normal(size, seed, 0).map((value) => value * grid[0]);
      lanes.push(new Lane({ prompt, radical: told, sampler, levels, seed, start }, facts, (asked) => this.engine.denoise(asked)));
      said.push(told ? `“${prompt}”, radical ${facts.radicals[told - 1]}` : `“${prompt}”`);
    }
    await this.busy;
    if (drawing !== this.drawing) return;
    this.lanes = lanes;
    this.views = [];
    this.step = -1;
    get<HTMLInputElement>("step").max = String(lanes[0].last);
    said.forEach((text, k) => (get(`lane-${k}-name`).textContent = text));
    get("lane-1").hidden = lanes.length < 2;
    this.began();
    if (round === this.round) await this.play(round);
    else this.mark(); // stopped while it waited
  }

  /** Say what has become of the newest drawing; once drawn, it stays so, however often it is walked through again. */
  private tell(course: Course): void {
    if (this.course === "drawn") return;
    this.course = course;
    this.told(course);
  }

  /** Stop playing, and show where it has come to, as reduced motion may have hidden it. */
  private pause(): number {
    const round = ++this.round;
    if (this.playing) {
      this.playing = false;
      this.tell("stopped");
      this.paint();
    }
    this.mark();
    return round;
  }

  /** From the step at hand to the last one. */
  private async play(round = ++this.round): Promise<void> {
    this.playing = true;
    this.tell("drawing");
    this.mark();
    if (this.step === this.lanes[0].last) this.step = -1;
    try {
      while (this.step < this.lanes[0].last) {
        await this.to(this.step + 1, round);
        if (round !== this.round) return;
      }
    } finally {
      if (round === this.round) {
        this.playing = false;
        this.mark();
      }
    }
  }

  /** Stop playing and show a step; steps that were not walked yet are walked through. */
  private go(step: number): void {
    if (!this.lanes.length) return;
    const round = this.pause();
    void this.to(Math.max(step, 0), round);
  }

  /** One request at a time; of those that wait, only the newest is heard. */
  private to(wanted: number, round: number): Promise<void> {
    const turn = this.busy.then(async () => {
      if (round !== this.round) return;
      const { lanes, scale, drawing } = this, step = Math.min(wanted, lanes[0].last);
      // What lies before the step stays as it was walked; guidance acts at the step at hand.
      for (let i = Math.max(0, Math.min(step, this.step)); i < step; i++) {
        for (const lane of lanes) await lane.advance(i, scale);
        if (round !== this.round) return;
      }
      const views: View[] = [];
      for (const lane of lanes) views.push(await lane.look(step, scale));
      this.views = views;
      this.step = step;
      await this.show();
      if (step === lanes[0].last && drawing === this.drawing) this.tell("drawn");
    });
    this.busy = turn.catch(() => undefined);
    return turn;
  }

  private async show(): Promise<void> {
    const final = this.step === this.lanes[0].last;
    const hidden = calm.matches && this.playing && !final; // frames that follow each other are motion
    if (!hidden) this.paint();
    this.mark();
    document.body.dataset.step = String(this.step);
    document.body.dataset.scale = String(this.scale);
    if (!hidden) await painted();
  }

  private paint(): void {
    const { schedule, levels } = this.engine.facts, seen = this.seen();
    if (!seen.length) return;
    seen.forEach(({ view }, k) => paintView(k, view, schedule, levels.margin));
    this.shown(seen);
  }

  private mark(): void {
    const range = get<HTMLInputElement>("step"), last = this.lanes[0]?.last ?? 0, step = Math.max(this.step, 0);
    const sigma = this.lanes[0]?.plan.levels[step] ?? 0;
    range.value = String(step);
    get("step-said").textContent = `step ${step} of ${last}, σ = ${level(sigma)}`;
    range.setAttribute("aria-valuetext", get("step-said").textContent!);
    get("play").textContent = this.playing ? "Pause" : "Play";
    get("guidance-said").textContent = this.scale.toFixed(2);
    get("guidance-note").textContent = guidanceNote(sigma, this.engine.facts.interval);
    get<HTMLButtonElement>("back").disabled = get<HTMLButtonElement>("first").disabled = step === 0;
    get<HTMLButtonElement>("forward").disabled = step === last;
  }
}

/** What guidance does at a noise level, or why it does nothing. */
function guidanceNote(sigma: number, interval: [number, number]): string {
  if (sigma > interval[1]) return "At this noise level guidance does not act yet: in so much noise there is little to strengthen.";
  return sigma > 0 && guided(sigma, interval)
    ? "Guidance acts on this step: move it and the predictions follow."
    : "At this noise level guidance does not act: there is only cleaning left to do.";
}

/** The three pictures of a lane: xt as the network sees it, the noise and the clean glyph that it finds there. */
function paintView(k: number, view: View, schedule: string, margin: number): void {
  const canvas = (what: string) => get<HTMLCanvasElement>(`lane-${k}-${what}`);
  if (view.sigma === 0) paintGlyph(canvas("xt"), view.x, margin);
  else paintImage(canvas("xt"), view.x, alpha(view.sigma, schedule));
  paintNoise(canvas("eps"), view.eps, view.x.length);
  paintGlyph(canvas("x0"), view.x0, view.sigma === 0 ? margin : 0);
}
