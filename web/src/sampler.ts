/* Samplers, one step each: from x at one noise level to x at the next lower one.

x = x0 + sigma * eps throughout, as in src/glyffuser/diffusion/samplers.py, to which a test holds these. A step is a
function of what is known before it, so that a page can go forward and back, and change its mind on the way. */

export type Image = Float32Array;

/** What the step before found: its predicted clean image, and its length in log sigma. */
export interface Before {
  x0: Image;
  h: number;
}

/** The state before a step, the predicted clean image there, and noise for the step: standard normal, like x.
 * eta says how soon noise is replaced by fresh noise, where a sampler takes it: 1 as soon as the forward process would. */
export interface Step {
  x: Image;
  x0: Image;
  now: number;
  then: number;
  eta: number;
  before: Before | null;
  noise: () => Image;
}

/** a * x + b * y + c * z, number by number. */
function mix(a: number, x: Image, b: number, y: Image, c = 0, z: Image = x): Image {
  return x.map((value, i) => a * value + b * y[i] + c * z[i]);
}

/** Along the probability-flow ODE (Karras et al. 2022, algorithm 1 without the correction). */
function euler({ x, x0, now, then }: Step): Image {
  return mix(then / now, x, 1 - then / now, x0);
}

/** The DDPM posterior (Ho et al. 2020, equation 7; Song et al. 2021, DDIM, equations 12 and 16 with eta = 1). */
function ddpm({ x, x0, now, then, noise }: Step): Image {
  const up = then * Math.sqrt(Math.max(0, 1 - (then / now) ** 2));
  const down = Math.sqrt(Math.max(0, then ** 2 - up ** 2)) / now;
  return up > 0 ? mix(down, x, 1 - down, x0, up, noise()) : mix(down, x, 1 - down, x0);
}

/** DPM-Solver++ 2M for the diffusion SDE, midpoint form (Lu et al. 2022, DPM-Solver++, SDE-DPM-Solver++(2M)). */
function dpmpp2mSde({ x, x0, now, then, eta, before, noise }: Step): Image {
  if (then === 0) return x0;
  const h = Math.log(now / then), kept = (then / now) ** (1 + eta);
  const estimate = before ? mix(1 + h / (2 * before.h), x0, -h / (2 * before.h), before.x0) : x0;
  const fresh = then * Math.sqrt(1 - (then / now) ** (2 * eta));
  return mix(kept, x, 1 - kept, estimate, fresh, noise());
}

/** By the names of `glyffuser sample`; ddim without fresh noise is Euler's step in these coordinates. */
export const SAMPLERS: Record<string, (step: Step) => Image> = {
  "dpm++2m-sde": dpmpp2mSde,
  ddpm,
  ddim: euler,
  euler,
};

/** What the network expects without the prompt (away) and with it (towards); one alone where guidance does not act. */
export interface Expected {
  away: Image | null;
  towards: Image;
}

/** Whether guidance acts at a noise level (Kynkaanniemi et al. 2024). */
export function guided(sigma: number, interval: [number, number]): boolean {
  return interval[0] <= sigma && sigma <= interval[1];
}

/** Classifier-free guidance (Ho and Salimans 2022, equation 6); a scale of 1 is off. */
export function steer({ away, towards }: Expected, scale: number): Image {
  return away ? mix(1 - scale, away, scale, towards) : towards;
}

/** The noise that is in x if its clean image is x0. */
export function noiseIn(x: Image, x0: Image, sigma: number): Image {
  return mix(1 / sigma, x, -1 / sigma, x0);
}

/** A clean image with noise of a level: x0 + sigma * eps. */
export function noised(x0: Image, eps: Image, sigma: number): Image {
  return mix(1, x0, sigma, eps);
}

/** The scale at which the network sees x: xt = alpha * x. */
export function alpha(sigma: number, schedule: string): number {
  return schedule === "flow" ? 1 / (1 + sigma) : 1 / Math.sqrt(1 + sigma ** 2);
}
