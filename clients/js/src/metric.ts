/** A context file in a context: how different are two images? */

import {
  chooseContext,
  type Context,
  type ContextGiven,
  GENERAL,
  importanceVector,
  OTHER,
  SIZE,
} from "./context.js";
import { type Engine, type Measurement, openEngine, type Run } from "./engine.js";
import { DpsError } from "./errors.js";
import { type Box, boxesOf, type Grid, localDistances, type Size } from "./heatmap.js";
import type { Calibration, Manifest } from "./manifest.js";
import { type Color, equalBytes, type Pixels, renderings } from "./pixels.js";
import {
  type Anchor,
  anchorOn,
  calibrationIn,
  percentilesOf,
  type Scale,
  scalesIn,
  weighted,
} from "./readings.js";
import type { Device, RuntimeOptions } from "./runtime.js";
import { openInWorker } from "./worker_engine.js";

/** How different two images are in a context, and why. */
export interface Comparison {
  /** >= 0; 0 for identical images; larger means more different. */
  distance: number;
  /** The general distance, all kinds of change alike; null if the file names no kinds. */
  size: number | null;
  /** Per kind of change and `other`, how much of it the pair shows. */
  amounts: Record<string, number>;
  /** Per kind and `other`, what it contributes; they add up to the distance. */
  parts: Record<string, number>;
  /** Per kind that the pair shows, its strength in the kind's unit, where it is known. */
  strengths: Record<string, number>;
  /** Per kind that the pair shows and that has two directions, from -1 to 1. */
  directions: Record<string, number>;
  /** Per calibrated kind, the share in [0, 1] of its known draws whose distance is smaller. */
  percentiles: Record<string, number>;
  /** Well-known changes that are about as different. */
  anchors: Anchor[];
  /** No pixel differs. */
  identical: boolean;
  /** Where the distance comes from; only if it was asked for. */
  map?: Grid;
}

export interface OpenOptions extends RuntimeOptions {
  /** Run in this worker, whose script calls `serve` of `dps-client/worker`. */
  worker?: Worker;
}

export interface CompareOptions {
  /** Compute the map as well. */
  map?: boolean;
  /** The color behind transparent pixels; default: white. */
  background?: Color;
}

/** Pixels of the images of one run in a batch. */
const PIXELS_PER_RUN = 1 << 17;

export class Metric {
  readonly #calibration: Calibration;
  readonly #scales: Scale[];

  private constructor(
    /** The opened file; metrics that differ in their contexts alone share one. */
    readonly engine: Engine,
    /** What counts as disruptive. */
    readonly context: Context,
  ) {
    this.#calibration = calibrationIn(engine.manifest, context.importances);
    this.#scales = scalesIn(engine.manifest, context.importances);
  }

  /**
   * Load a context file.
   *
   * @param source - its bytes, its address, or in Node its path.
   * @param given - the context of a universal file; default: all kinds of change count alike. A
   *   plain file has its own and takes none.
   */
  static async load(
    source: Uint8Array | ArrayBuffer | URL | string,
    given?: ContextGiven,
    options: OpenOptions = {},
  ): Promise<Metric> {
    const { worker, ...runtime } = options;
    const engine = await (worker
      ? openInWorker(worker, source, runtime)
      : openEngine(source, runtime));
    return new Metric(engine, contextFor(engine.manifest, given));
  }

  /** Return the same universal file in another context, at no cost. */
  inContext(given: ContextGiven): Metric {
    return new Metric(this.engine, contextFor(this.manifest, given));
  }

  get manifest(): Manifest {
    return this.engine.manifest;
  }

  /** What computes. */
  get device(): Device {
    return this.engine.device;
  }

  /** The names of the kinds of change, in the order of their numbers. */
  get kinds(): string[] {
    return this.manifest.metric.distortions.map((kind) => kind.name);
  }

  /** Compare two images of one size. */
  async compare(
    reference: Pixels,
    candidate: Pixels,
    options: CompareOptions = {},
  ): Promise<Comparison> {
    const measured = await this.measure(reference, candidate, options);
    try {
      const comparison = this.weigh(measured);
      if (options.map) comparison.map = await this.map(measured);
      return comparison;
    } finally {
      await measured.release();
    }
  }

  /** Compare one reference with many candidates, whose runs share its features. */
  async compareBatch(
    reference: Pixels,
    candidates: readonly Pixels[],
    options: Omit<CompareOptions, "map"> = {},
  ): Promise<Comparison[]> {
    const pairs = candidates.map((one) => renderings(reference, one, options.background));
    const { width, height } = reference;
    const most = Math.max(1, Math.floor(PIXELS_PER_RUN / (width * height)));
    const found: Measurement[][] = pairs.map(() => []);
    const last = Math.max(0, ...pairs.map((pair) => pair.length));
    for (let layer = 0; layer < last; layer++) {
      // Of one background, so that the composited references are the same.
      const present = pairs.flatMap((pair, index) => (pair[layer] ? [index] : []));
      for (let start = 0; start < present.length; start += most) {
        const indices = present.slice(start, start + most);
        const chosen = indices.map((index) => pairs[index]![layer]!);
        const { measurements } = await this.engine.measure(
          {
            references: [chosen[0]![0]],
            candidates: chosen.map(([, candidate]) => candidate),
            width,
            height,
          },
          false,
        );
        indices.forEach((index, place) => found[index]!.push(measurements[place]!));
      }
    }
    return found.map((measurements, index) =>
      this.weigh(new Measured(measurements, [], identical(pairs[index]!), reference, this.engine)),
    );
  }

  /** Measure two images for any number of contexts: see `weigh` and `map`. */
  async measure(
    reference: Pixels,
    candidate: Pixels,
    options: CompareOptions = {},
  ): Promise<Measured> {
    const pairs = renderings(reference, candidate, options.background);
    const { width, height } = reference;
    const runs: Run[] = [];
    for (const [first, second] of pairs) {
      const batch = { references: [first], candidates: [second], width, height };
      runs.push(await this.engine.measure(batch, options.map ?? false));
    }
    const measurements = runs.map((run) => run.measurements[0]!);
    const handles = runs.map((run) => run.handle);
    return new Measured(measurements, handles, identical(pairs), { width, height }, this.engine);
  }

  /** Return a measured pair in this context. It takes no time: amounts do not depend on it. */
  weigh(measured: Measured): Comparison {
    const { amounts: names, distortions } = this.manifest.metric;
    const index = this.#farthest(measured);
    const one = measured.measurements[index]!;
    const distance = this.#distance(one);
    const amounts: Record<string, number> = {};
    names.forEach((name, column) => {
      if (one.amounts && name !== SIZE) amounts[name] = one.amounts[column]!;
    });
    const size = one.amounts && names.includes(SIZE) ? one.amounts[names.indexOf(SIZE)]! : null;
    const shown = distortions.filter((kind) => amounts[kind.name]);
    const read = (values: Float32Array | null, kinds: typeof shown) =>
      Object.fromEntries(
        values ? kinds.map((kind) => [kind.name, values[names.indexOf(kind.name)]!]) : [],
      );
    const known = shown.filter(
      (kind) => kind.unit && one.strengths?.[names.indexOf(kind.name)],
    );
    return {
      distance,
      size,
      amounts,
      parts: partsOf(amounts, size, this.context.importances),
      strengths: read(one.strengths, known),
      directions: read(one.directions, shown.filter((kind) => kind.directions)),
      percentiles: percentilesOf(distance, this.#calibration),
      anchors: this.#scales.map((scale) => anchorOn(distance, scale)),
      identical: measured.identical,
    };
  }

  /** Return where the distance in this context comes from; of a pair that was measured with maps. */
  async map(measured: Measured): Promise<Grid> {
    const handle = measured.handles[this.#farthest(measured)];
    if (!handle) throw new DpsError("the pair was measured without a map: measure it with one");
    const importances = importanceVector(this.manifest.metric.amounts, this.context.importances);
    return (await this.engine.maps(handle, importances))[0]!;
  }

  /** Return local distances at the size of the images, or at another; see `localDistances`. */
  localDistances(map: Grid, image: Size, distance: number, shown?: Size): Float32Array {
    return localDistances(map, image, this.manifest.cell, distance, shown);
  }

  /** Return boxes around the places that differ most; see `boxesOf`. */
  boxes(map: Grid, image: Size): Box[] {
    return boxesOf(map, image, this.manifest.cell);
  }

  /** Free the file; all metrics that share it are closed. */
  close(): Promise<void> {
    return this.engine.close();
  }

  /** Of several renderings of a pair, the one with the largest distance counts. */
  #farthest({ measurements }: Measured): number {
    const distances = measurements.map((one) => this.#distance(one));
    return distances.indexOf(Math.max(...distances));
  }

  #distance({ distance, amounts }: Measurement): number {
    if (distance !== null) return distance;
    const { amounts: names } = this.manifest.metric;
    const importances = importanceVector(names, this.context.importances);
    const rounded = Object.fromEntries(names.map((name, index) => [name, importances[index]!]));
    return Math.fround(weighted(amounts!, names, rounded));
  }
}

/** A pair of images, measured once, for any context; `release` frees what its maps need. */
export class Measured {
  constructor(
    readonly measurements: readonly Measurement[],
    readonly handles: readonly number[],
    readonly identical: boolean,
    readonly image: Size,
    readonly engine: Engine,
  ) {}

  async release(): Promise<void> {
    for (const handle of this.handles) if (handle) await this.engine.release(handle);
  }
}

function contextFor({ metric }: Manifest, given: ContextGiven | undefined): Context {
  if (metric.importances) {
    if (given) {
      throw new DpsError("the file has its context frozen in: give none, or take a universal file");
    }
    return { importances: metric.importances, ranking: metric.ranking };
  }
  return chooseContext(
    given ?? GENERAL,
    metric.distortions.map((kind) => kind.name),
  );
}

/** The size, where it counts, is shared among the kinds that it is made of. */
function partsOf(
  amounts: Record<string, number>,
  size: number | null,
  importances: Record<string, number>,
): Record<string, number> {
  const general = (importances[SIZE] ?? 0) * (size ?? 0);
  const total = Object.values(amounts).reduce((sum, amount) => sum + amount, 0);
  const parts = Object.fromEntries(
    Object.entries(amounts).map(([name, amount]) => {
      const shared = total ? (general * amount) / total : 0;
      return [name, (importances[name] ?? 0) * amount + shared];
    }),
  );
  if (general && !total) parts[OTHER] = (parts[OTHER] ?? 0) + general;
  return parts;
}

function identical(pairs: readonly [Uint8Array, Uint8Array][]): boolean {
  return pairs.every(([first, second]) => equalBytes(first, second));
}
