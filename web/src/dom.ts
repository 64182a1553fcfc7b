/** The element of the page with this id. */
export function get<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as Kind;
}

/** Until the browser has painted what was just drawn. */
export function painted(): Promise<unknown> {
  return new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
}

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** A noise level as text: three figures. */
export function level(sigma: number): string {
  return sigma === 0 ? "0" : sigma.toPrecision(3);
}
