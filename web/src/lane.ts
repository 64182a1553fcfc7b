/* One glyph on its way out of the noise: every state so far, so that it can be walked forward and back. */

import type { Facts } from "./facts";
import { normal } from "./noise";
import { SAMPLERS, guided, noiseIn, steer, type Before, type Expected, type Image } from "./sampler";
import type { Asked } from "./worker";

interface State {
  x: Image;
  before: Before | null;
  expected: Expected | null;
  /** The guidance with which the next state was reached. */
  used: number | null;
}

/** What there is to see of a state: x at its noise level, and what the network finds in it. */
export interface View {
  x: Image;
  sigma: number;
  eps: Image | null;
  x0: Image;
  guided: boolean;
}

export interface Plan {
  prompt: string;
  radical: number;
  sampler: string;
  /** Falling noise levels that end in 0. */
  levels: number[];
  seed: number;
  start: Image;
  /** Noise for each step instead of that of the seed, for comparisons. */
  noise?: Image[];
}

export class Lane {
  private states: State[];

  constructor(
    readonly plan: Plan,
    private readonly facts: Facts,
    private readonly denoise: (asked: Asked) => Promise<Expected>,
  ) {
    this.states = [{ x: plan.start, before: null, expected: null, used: null }];
  }

  get last(): number {
    return this.plan.levels.length - 1;
  }

  /** State i as it is seen under a guidance scale; all states before it must have been walked through. */
  async look(i: number, scale: number): Promise<View> {
    const { x } = this.states[i], sigma = this.plan.levels[i];
    if (sigma === 0) return { x, sigma, eps: null, x0: x, guided: false };
    const expected = await this.expected(i);
    const x0 = steer(expected, scale);
    return { x, sigma, eps: noiseIn(x, x0, sigma), x0, guided: expected.away !== null };
  }

  /** Walk from state i to the next; what was beyond it is forgotten if guidance has changed since. */
  async advance(i: number, scale: number): Promise<void> {
    const state = this.states[i], { levels, seed, sampler, noise } = this.plan;
    if (this.states[i + 1] && state.used === scale) return;
    const x0 = steer(await this.expected(i), scale), now = levels[i], then = levels[i + 1];
    const fresh = () => noise?.[i] ?? normal(state.x.length, seed, 1 + i);
    const eta = (sampler === this.facts.sampler && this.facts.eta) || 1;
    const x = SAMPLERS[sampler]({ x: state.x, x0, now, then, eta, before: state.before, noise: fresh });
    state.used = scale;
    const next = { x, before: { x0, h: Math.log(now / then) }, expected: null, used: null };
    this.states = [...this.states.slice(0, i + 1), next];
  }

  private async expected(i: number): Promise<Expected> {
    const state = this.states[i], sigma = this.plan.levels[i];
    state.expected ??= await this.denoise({
      x: state.x,
      sigma,
      prompt: this.plan.prompt,
      radical: this.plan.radical,
      guided: guided(sigma, this.facts.interval),
    });
    return state.expected;
  }
}
