/* Seeded noise by counting: a number of a stream is a function of seed, stream and place, so steps can be repeated. */

/** A 32-bit mixing function (Mueller's integer hash, as `hash32` of many programs): every bit of the input counts. */
function scramble(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
  x = Math.imul(x ^ (x >>> 16), 0x45d9f3b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Uniform in (0, 1): number `place` of a stream. */
function uniform(seed: number, stream: number, place: number): number {
  const key = scramble(scramble((seed >>> 0) + 0x9e3779b9) ^ ((stream >>> 0) + 0x7f4a7c15));
  return (scramble((key + Math.imul(place, 0x9e3779b1)) >>> 0) + 0.5) / 2 ** 32;
}

/** n standard normal numbers (Box and Muller 1958). */
export function normal(n: number, seed: number, stream: number): Float32Array {
  const numbers = new Float32Array(n);
  for (let i = 0; i < n; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform(seed, stream, i)));
    const angle = 2 * Math.PI * uniform(seed, stream, i + 1);
    numbers[i] = radius * Math.cos(angle);
    if (i + 1 < n) numbers[i + 1] = radius * Math.sin(angle);
  }
  return numbers;
}
