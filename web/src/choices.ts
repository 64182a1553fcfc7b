/** What can be done with a pair, by which keys, and what is said of it. */
export const ACTIONS = ["left", "right", "bad", "undo"] as const;
export type Action = (typeof ACTIONS)[number];

/** What the server says of the pair at hand; see serve/desk.py. */
export interface Shown {
  pair: number;
  prompt: string | null;
  pictures: [string, string] | null;
  labelled: number;
  bad: number;
  limit: number | null;
  file: string;
}

export const KEYS: Record<string, Action | undefined> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowDown: "bad",
  b: "bad",
  B: "bad",
  u: "undo",
  U: "undo",
  Backspace: "undo",
};

/** One line about what was just done, and how many pairs had no good glyph. */
export function said(action: Action, now: Shown): string {
  const done = { left: "Left.", right: "Right.", bad: "Both bad.", undo: "Taken back." }[action];
  return now.bad ? `${done} ${now.bad} of ${now.labelled} both bad.` : done;
}
