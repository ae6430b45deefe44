/** How far a distance is: percentiles of known changes, and well-known changes that are as far. */

import type { Calibration, Manifest } from "./manifest.js";

/** A well-known change that is about as different as a pair of images. */
export interface Anchor {
  /** Its name and unit, for people: `JPEG quality`. */
  change: string;
  /** Of the change, interpolated; its faintest or strongest step where `beyond` is not 0. */
  value: number;
  /** -1 below the faintest step, 1 above the strongest, else 0. */
  beyond: -1 | 0 | 1;
}

/** A ladder of a well-known change in a context. */
export interface Scale {
  change: string;
  steps: number[];
  /** The typical distance of each step, rising. */
  distances: number[];
}

type Importances = Readonly<Record<string, number>>;

/** Return the calibration in a context: a plain file's own, or that of a universal file's draws. */
export function calibrationIn(manifest: Manifest, importances: Importances): Calibration {
  if (manifest.calibration) return manifest.calibration;
  const levels = Array.from({ length: 101 }, (_, step) => step / 100);
  const distances: Record<string, number[]> = {};
  for (const [kind, rows] of Object.entries(manifest.draws?.amounts ?? {})) {
    const drawn = rows.map((row) => weighted(row, manifest.metric.amounts, importances));
    drawn.sort((first, second) => first - second);
    distances[kind] = levels.map((level) => quantile(drawn, level));
  }
  return { levels, distances };
}

/** Return per calibrated kind the share in [0, 1] of its draws whose distance is smaller. */
export function percentilesOf(distance: number, calibration: Calibration): Record<string, number> {
  const { levels } = calibration;
  return Object.fromEntries(
    Object.entries(calibration.distances).map(([kind, quantiles]) => {
      const place = leftmost(quantiles, distance);
      if (place === 0) return [kind, 0];
      if (place === quantiles.length) return [kind, 1];
      return [kind, between(distance, quantiles, levels, place)];
    }),
  );
}

/** Return the ladders in a context; those that it sees nothing of are left out. */
export function scalesIn(manifest: Manifest, importances: Importances): Scale[] {
  const scales = [];
  for (const { name, steps, amounts } of manifest.ladders) {
    let largest = 0;
    const distances = amounts.map((photographs) => {
      const found = photographs.map((row) => weighted(row, manifest.metric.amounts, importances));
      largest = Math.max(largest, median(found));
      return largest;
    });
    if (largest > 0) scales.push({ change: name, steps, distances });
  }
  return scales;
}

/** Return where a distance lies on a ladder. */
export function anchorOn(distance: number, { change, steps, distances }: Scale): Anchor {
  const place = leftmost(distances, distance);
  const step = (index: number) => steps[index] as number;
  if (place === distances.length) return { change, value: step(place - 1), beyond: 1 };
  if (place === 0) return { change, value: step(0), beyond: distance === distances[0] ? 0 : -1 };
  return { change, value: between(distance, distances, steps, place), beyond: 0 };
}

/** Return the sum of importance times amount, in double precision. */
export function weighted(
  amounts: ArrayLike<number>,
  names: readonly string[],
  importances: Importances,
): number {
  return names.reduce(
    (total, name, index) => total + (importances[name] ?? 0) * (amounts[index] as number),
    0,
  );
}

/** Return the first place in rising numbers that is not below a number. */
function leftmost(rising: readonly number[], value: number): number {
  const place = rising.findIndex((number) => number >= value);
  return place < 0 ? rising.length : place;
}

function between(
  value: number,
  rising: readonly number[],
  read: readonly number[],
  place: number,
): number {
  const [low, high] = [rising[place - 1] as number, rising[place] as number];
  const [from, to] = [read[place - 1] as number, read[place] as number];
  return from + ((value - low) / (high - low)) * (to - from);
}

function quantile(ordered: readonly number[], level: number): number {
  const place = level * (ordered.length - 1);
  const low = ordered[Math.floor(place)] as number;
  const high = ordered[Math.ceil(place)] as number;
  return Math.min(low + (place - Math.floor(place)) * (high - low), high);
}

function median(values: number[]): number {
  const ordered = [...values].sort((first, second) => first - second);
  const half = ordered.length / 2;
  const [low, high] = [ordered[Math.ceil(half) - 1] as number, ordered[Math.floor(half)] as number];
  return (low + high) / 2;
}
