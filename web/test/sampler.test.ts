import { expect, test } from "vitest";

import { SAMPLERS, guided, noiseIn, noised, steer, type Before } from "../src/sampler";
import told from "./samplers.json";

/** The denoiser of Gaussian data of mean m and standard deviation s. */
const gaussian = (x: Float32Array, sigma: number, mean: number) =>
  x.map((value) => (told.spread ** 2 * value + sigma ** 2 * mean) / (told.spread ** 2 + sigma ** 2));

for (const [name, wanted] of Object.entries(told.results)) {
  test(`${name} draws what Python's draws from the same noise`, () => {
    let x: Float32Array = Float32Array.from(told.start, (value) => value * told.sigmas[0]);
    let before: Before | null = null;
    for (let i = 0; i + 1 < told.sigmas.length; i++) {
      const [now, then] = told.sigmas.slice(i, i + 2);
      const acts = guided(now, told.interval as [number, number]);
      const away = acts ? gaussian(x, now, told.means[0]) : null;
      const x0 = steer({ away, towards: gaussian(x, now, told.means[1]) }, told.guidance);
      x = SAMPLERS[name]({ x, x0, now, then, eta: told.eta, before, noise: () => Float32Array.from(told.noise[i]) });
      before = { x0, h: Math.log(now / then) };
    }
    wanted.forEach((value, k) => expect(Math.abs(x[k] - value)).toBeLessThan(1e-3));
  });
}

test("every sampler of the page is compared", () => {
  expect(Object.keys(told.results).sort()).toEqual(Object.keys(SAMPLERS).sort());
});

test("noise that is put in is found again", () => {
  const x0 = Float32Array.of(1, -1, 0.5), eps = Float32Array.of(0.3, -2, 1);
  noiseIn(noised(x0, eps, 4), x0, 4).forEach((value, i) => expect(value).toBeCloseTo(eps[i], 5));
});
