import { expect, test } from "vitest";

import { normal } from "../src/noise";

const moments = (x: Float32Array) => {
  const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
  return [mean, x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length];
};

test("noise is standard normal", () => {
  const x = normal(2 ** 16, 7, 3), [mean, variance] = moments(x);
  expect(Math.abs(mean)).toBeLessThan(4 / 2 ** 8);
  expect(Math.abs(variance - 1)).toBeLessThan(6 / 2 ** 8);
  const fourth = x.reduce((sum, value) => sum + value ** 4, 0) / x.length;
  expect(Math.abs(fourth - 3)).toBeLessThan(0.2);
});

test("seeds and streams repeat themselves and not each other", () => {
  const x = normal(4096, 1, 0);
  expect(normal(4096, 1, 0)).toEqual(x);
  for (const other of [normal(4096, 2, 0), normal(4096, 1, 1), normal(4096, 0, 1)]) {
    const product = x.reduce((sum, value, i) => sum + value * other[i], 0) / x.length;
    expect(Math.abs(product)).toBeLessThan(5 / 64);
  }
});

test("neighbouring numbers of a stream are independent", () => {
  const x = normal(2 ** 16, 5, 0);
  for (const lag of [1, 2, 128]) {
    let product = 0;
    for (let i = lag; i < x.length; i++) product += (x[i] * x[i - lag]) / x.length;
    expect(Math.abs(product)).toBeLessThan(5 / 2 ** 8);
  }
});
