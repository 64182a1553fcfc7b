import { describe, expect, it } from "vitest";
import { ACTIONS, KEYS, said, type Shown } from "../src/choices";

const now: Shown = { pair: 3, prompt: "gold", pictures: null, labelled: 3, bad: 0, limit: null, file: "pairs.parquet" };

describe("labelling", () => {
  it("has a key for every action, and no key for anything else", () => {
    expect(new Set(Object.values(KEYS))).toEqual(new Set(ACTIONS));
    expect(KEYS.ArrowLeft).toBe("left");
    expect(KEYS.ArrowRight).toBe("right");
  });

  it("says what was done, and how many were both bad once there are some", () => {
    expect(said("left", now)).toBe("Left.");
    expect(said("undo", { ...now, bad: 2 })).toBe("Taken back. 2 of 3 both bad.");
  });
});
