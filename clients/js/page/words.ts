/** A comparison in words. */

import type { Comparison, Kind } from "../dist/index.js";
import { twoDigits } from "./elements.js";

/** Smallest direction that is put into words. */
const CLEAR = 0.3;

/** Describe what a pair shows of a kind: `darker`, `about 2.1 pixels`. */
export function kindWords(kind: Kind, comparison: Comparison): string {
  const words = [];
  const direction = comparison.directions[kind.name] ?? 0;
  if (kind.directions && Math.abs(direction) >= CLEAR) {
    words.push(kind.directions[direction > 0 ? 0 : 1]);
  }
  const strength = comparison.strengths[kind.name];
  // The sigma of a blur says nothing about a sharpening, nor that of noise about denoising.
  const undone = ["blur", "noise"].includes(kind.name) && direction < CLEAR;
  if (strength !== undefined && kind.unit && !undone) {
    words.push(`about ${twoDigits(strength)} ${kind.unit}`);
  }
  return words.join(", ");
}

/** Describe a distance beside well-known changes. */
export function anchorWords({ anchors, distance, identical }: Comparison): string {
  if (identical) return "identical images";
  if (distance === 0) return "this context sees no difference";
  const named = (beyond: number) =>
    anchors
      .filter((one) => one.beyond === beyond)
      .map((one) => valued(one.change, twoDigits(one.value)));
  const [near, more, less] = [named(0), named(1), named(-1)];
  if (near.length) return `about as different as ${near.join(", or ")} of a typical photograph`;
  if (more.length) return `more different than ${more.join(", or ")} of a typical photograph`;
  return less.length ? `less different than ${less.join(", or ")} of a typical photograph` : "";
}

/** Name a change with its value: "JPEG quality 35", "darkening by 20 percent". */
function valued(change: string, value: string): string {
  const [, name, unit] = /^(.* by) (.*)$/.exec(change) ?? [];
  return unit === undefined ? `${change} ${value}` : `${name} ${value} ${unit}`;
}

/** Name the kinds that make up most of a distance. */
export function mainParts(comparison: Comparison): string {
  const parts = Object.entries(comparison.parts)
    .filter(([, part]) => part > 0.02 * comparison.distance)
    .sort(([, first], [, second]) => second - first);
  return parts.map(([name, part]) => `${name} ${twoDigits(part)}`).join(" + ");
}
