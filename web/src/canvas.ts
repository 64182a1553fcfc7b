/* Numbers as greys. */

import type { Image } from "./sampler";

const NOISE_RANGE = 3; // of predicted noise: from white to black in standard deviations

function put(canvas: HTMLCanvasElement, greys: Image): void {
  const side = Math.round(Math.sqrt(greys.length));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const picture = new ImageData(side, side);
  for (let i = 0; i < greys.length; i++) {
    picture.data.fill(Math.round(255 * Math.min(1, Math.max(0, greys[i]))), 4 * i, 4 * i + 3);
    picture.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d")!.putImageData(picture, 0, 0);
}

/** An image in [-1, 1]; what lies beyond is black or white. */
export function paintImage(canvas: HTMLCanvasElement, image: Image, scale = 1): void {
  put(canvas, image.map((value) => (scale * value) / 2 + 0.5));
}

/** A finished glyph: what is nearly paper or ink becomes exactly that (src/glyffuser/base/pictures.py: levelled). */
export function paintGlyph(canvas: HTMLCanvasElement, image: Image, margin: number): void {
  put(canvas, image.map((value) => levelled(value / 2 + 0.5, margin)));
}

export function levelled(grey: number, margin: number): number {
  const steeper = grey + Math.max(grey - (1 - 2 * margin), 0) - Math.max(2 * margin - grey, 0);
  return Math.min(1, Math.max(0, steeper));
}

/** Standard normal noise; none leaves plain grey. */
export function paintNoise(canvas: HTMLCanvasElement, eps: Image | null, size: number): void {
  put(canvas, eps ? eps.map((value) => value / (2 * NOISE_RANGE) + 0.5) : new Float32Array(size).fill(0.5));
}
