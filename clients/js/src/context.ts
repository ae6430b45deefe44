/** What counts as disruptive: rankings and importances, as people write them. */

import { DpsError } from "./errors.js";

export const OTHER = "other";
export const SIZE = "size";
const REST = "*";
/** Ratio of the importances of one place in a ranking and the place before it. */
export const IMPORTANCE_RATIO = 2.5;
const SMALLEST = 1e-9;
const LARGEST = 1e9;

/** One number >= 0 for each amount; and the ranking that they follow from, if there is one. */
export interface Context {
  importances: Record<string, number>;
  ranking: string[][] | null;
}

/** A context as callers give it: exactly one of the two. */
export type ContextGiven =
  | { ranking: string | string[][] }
  | { importances: string | Record<string, number> };

/** The context in which all kinds of change count alike, by the general distance. */
export const GENERAL: ContextGiven = { importances: { size: 1 } };

/**
 * Return a context for a metric with these kinds of change, in the order of their numbers.
 *
 * Throws a `DpsError` for an unknown, repeated or missing name, or a number out of range.
 */
export function chooseContext(given: ContextGiven, kinds: readonly string[]): Context {
  if ("ranking" in given) {
    const { ranking } = given;
    const groups = typeof ranking === "string" ? parseRanking(ranking, kinds) : ranking;
    checkRanking(groups, kinds);
    return { importances: rankingImportances(groups, kinds), ranking: groups };
  }
  const { importances } = given;
  const numbers =
    typeof importances === "string" ? parseImportances(importances, kinds) : importances;
  return { importances: checkedImportances(numbers, kinds), ranking: null };
}

/** Read `color=translate,*,blur` or `3=1,*,4`: groups from the least to the most disruptive. */
export function parseRanking(text: string, kinds: readonly string[]): string[][] {
  return text.split(",").map((group) =>
    group
      .split("=")
      .map((word) => (word.trim() === REST ? REST : known(word, [...kinds, OTHER]))),
  );
}

/** Write a ranking with names, as `parseRanking` reads it. */
export function formatRanking(ranking: readonly string[][]): string {
  return ranking.map((group) => group.join("=")).join(",");
}

/**
 * Turn a ranking into importances: each place counts `IMPORTANCE_RATIO` times as much as the one
 * before, the last counts 1; a kind that is left out has the place of `*`, or else the geometric mean of the first
 * and the last place.
 */
export function rankingImportances(
  ranking: readonly string[][],
  kinds: readonly string[],
): Record<string, number> {
  const last = ranking.length - 1;
  const placed = new Map<string, number>();
  ranking.forEach((group, place) => {
    for (const name of group) placed.set(name, IMPORTANCE_RATIO ** (place - last));
  });
  const rest = placed.get(REST) ?? IMPORTANCE_RATIO ** (-last / 2);
  return Object.fromEntries([...kinds, OTHER].map((name) => [name, placed.get(name) ?? rest]));
}

/** Write importances as `parseImportances` reads them; those that are 0 are left out. */
export function formatImportances(importances: Readonly<Record<string, number>>): string {
  return Object.entries(importances)
    .filter(([, value]) => value > 0)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}

/** Return the option of `dps-infer` and `dps-export` that gives a context. */
export function commandOption(context: Context): string {
  // A `*` would be expanded by a shell.
  if (context.ranking) return `--ranking '${formatRanking(context.ranking)}'`;
  return `--importance ${formatImportances(context.importances)}`;
}

/** Return a context as a file that `dps-infer contexts` and `--context-name` read: `NAME.toml`. */
export function contextToml(context: Context, name: string, why: string): string {
  const lines = [
    "format = 1",
    `name = ${JSON.stringify(name)}`,
    `why = ${JSON.stringify(why)}`,
    'from = "set by hand"',
  ];
  if (context.ranking) lines.push(`ranking = ${JSON.stringify(formatRanking(context.ranking))}`);
  else {
    lines.push("", "[importances]");
    for (const [kind, value] of Object.entries(context.importances)) {
      if (value > 0) lines.push(`${JSON.stringify(kind)} = ${decimal(value)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Return importances as a context file's graph takes them, in the order of the amounts. */
export function importanceVector(
  amounts: readonly string[],
  importances: Readonly<Record<string, number>>,
): Float32Array {
  return Float32Array.from(amounts, (name) => importances[name] ?? 0);
}

function parseImportances(text: string, kinds: readonly string[]): Record<string, number> {
  const given: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [word = "", value] = part.split(/=(.*)/s);
    if (value === undefined) {
      throw new DpsError(
        `'${part.trim()}' is no importance: expected name=number, like color=0.1,blur=5`,
      );
    }
    const name = known(word, [...kinds, OTHER, SIZE]);
    if (name in given) {
      throw new DpsError(`${name} appears twice among the importances: name each once`);
    }
    given[name] = value.trim() === "" ? NaN : Number(value);
  }
  return given;
}

function checkedImportances(
  given: Readonly<Record<string, number>>,
  kinds: readonly string[],
): Record<string, number> {
  const names = [...kinds, OTHER, SIZE];
  for (const [name, value] of Object.entries(given)) {
    if (!names.includes(name)) {
      throw new DpsError(`unknown distortion '${name}': expected one of ${names.join(", ")}`);
    }
    if (value !== 0 && !(value >= SMALLEST && value <= LARGEST)) {
      throw new DpsError(
        `the importance of ${name} is ${value}: expected 0, or a number from 1e-9 to 1e9`,
      );
    }
  }
  if (!Object.values(given).some((value) => value > 0)) {
    throw new DpsError("no importance is above 0: give at least one");
  }
  return Object.fromEntries(
    names.filter((name) => name !== SIZE || given[SIZE]).map((name) => [name, given[name] ?? 0]),
  );
}

function checkRanking(ranking: readonly string[][], kinds: readonly string[]): void {
  const listed = ranking.flat();
  for (const name of listed) {
    if (name !== REST) known(name, [...kinds, OTHER]);
    if (listed.indexOf(name) !== listed.lastIndexOf(name)) {
      throw new DpsError(`${name} appears twice in the ranking: list each distortion once`);
    }
  }
  if (ranking.length < 2) {
    throw new DpsError("a ranking orders at least two distortions, the least disruptive first");
  }
}

/** Return the name that a word (a name in any case, or a number) stands for. */
function known(word: string, names: readonly string[]): string {
  const given = word.trim().toLowerCase();
  if (names.includes(given)) return given;
  if (/^[0-9]{1,4}$/.test(given)) {
    const name = names[Number(given)];
    if (name !== undefined && name !== OTHER && name !== SIZE) return name;
  }
  throw new DpsError(`unknown distortion '${given}': expected one of ${names.join(", ")}`);
}

function decimal(value: number): string {
  return Number.isInteger(value) && value < 1e15 ? `${value}.0` : `${value}`;
}
