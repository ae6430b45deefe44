/** Run the graph of a context file; nothing here knows a context beyond its vector of importances. */

import { DpsError } from "./errors.js";
import { Graph, type TensorType } from "./graph.js";
import type { Grid } from "./heatmap.js";
import { type Manifest, readManifest } from "./manifest.js";
import {
  type Device,
  openRuntime,
  readFile,
  type Runtime,
  type RuntimeOptions,
  type Session,
  type Tensor,
} from "./runtime.js";

/** RGB images of one size, to be compared. */
export interface Batch {
  /** One for each candidate, or a single one for all. */
  references: Uint8Array[];
  candidates: Uint8Array[];
  width: number;
  height: number;
}

/** What a file says of one pair, in any context. */
export interface Measurement {
  /** The distance in a plain file's own context; null for a universal file. */
  distance: number | null;
  /** Null if a plain file has none. */
  amounts: Float32Array | null;
  /** Of the amounts without the size; null if the file names no kinds. */
  strengths: Float32Array | null;
  directions: Float32Array | null;
  /** How much of the difference in each cell is of each kind [rows, columns, kinds]. */
  cells: (Grid & { kinds: number }) | null;
}

export interface Run {
  measurements: Measurement[];
  /** What `Engine.maps` takes; 0 if maps were not asked for. */
  handle: number;
}

/** A context file that is ready to run, here or in a worker. */
export interface Engine {
  readonly manifest: Manifest;
  readonly device: Device;
  /** Compare images. With `maps`, the run is kept for `maps` until it is released. */
  measure(batch: Batch, maps: boolean): Promise<Run>;
  /** Return the map of each pair of a run in a context. */
  maps(handle: number, importances: Float32Array): Promise<Grid[]>;
  release(handle: number): Promise<void>;
  close(): Promise<void>;
}

const BY_KIND = ["strengths", "directions"];

/** Open a context file in this thread. */
export async function openEngine(
  source: Uint8Array | ArrayBuffer | URL | string,
  options: RuntimeOptions = {},
): Promise<Engine> {
  const graph = new Graph(await readFile(source));
  const manifest = await readManifest(graph.metadata);
  const { runtime, device } = await openRuntime(options);
  const engine = new GraphEngine(graph, manifest, device, runtime, options.threads);
  return engine;
}

class GraphEngine implements Engine {
  readonly #sessions = new Map<string, Promise<Session>>();
  readonly #runs = new Map<number, Record<string, Tensor>>();
  /** The tensors from which a map follows: in a plain file it is an output. */
  readonly #behindMaps: string[];
  #last = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(
    readonly graph: Graph,
    readonly manifest: Manifest,
    readonly device: Device,
    readonly runtime: Runtime,
    readonly threads: number | undefined,
  ) {
    const split = this.#universal && graph.outputs.has("map");
    this.#behindMaps = split ? graph.between("importance", ["map"]) : ["map"];
  }

  get #universal(): boolean {
    return this.manifest.metric.importances === null;
  }

  async measure(batch: Batch, maps: boolean): Promise<Run> {
    const { graph } = this;
    const namesKinds = this.manifest.metric.amounts.length > 1;
    const has = (name: string) => graph.outputs.has(name);
    const needed = this.#universal ? "amounts" : "distance";
    if (!has(needed)) throw new DpsError(`the file gives no ${needed}: export it with more outputs`);
    if (maps && !has("map")) throw new DpsError("the file has no map: export the context again");
    const fetches = [
      ...(this.#universal ? [] : ["distance"]),
      ...(has("amounts") ? ["amounts"] : []),
      ...(namesKinds ? BY_KIND.filter(has) : []),
      ...(maps && namesKinds && has("cells") ? ["cells"] : []),
      ...(maps ? this.#behindMaps : []),
    ];
    const outputs = await this.#run("measure", [...new Set(fetches)], this.#feeds(batch));
    const measurements = batch.candidates.map((_, index) => measurementOf(outputs, index));
    for (const one of measurements) check(one);
    if (!maps) return { measurements, handle: 0 };
    this.#runs.set(++this.#last, outputs);
    return { measurements, handle: this.#last };
  }

  async maps(handle: number, importances: Float32Array): Promise<Grid[]> {
    const kept = this.#runs.get(handle);
    if (!kept) throw new DpsError("the run has been released, or had no maps");
    if (!this.#universal) return gridsOf(kept["map"]!);
    const given = new Map<string, TensorType>();
    for (const name of this.#behindMaps) {
      const { type, dims } = kept[name]!;
      given.set(name, { type, rank: dims.length });
    }
    const importance = this.#tensor("float32", importances, [importances.length]);
    const outputs = await this.#run("maps", ["map"], { ...kept, importance }, given);
    return gridsOf(outputs["map"]!);
  }

  async release(handle: number): Promise<void> {
    const kept = this.#runs.get(handle);
    this.#runs.delete(handle);
    for (const tensor of Object.values(kept ?? {})) tensor.dispose?.();
  }

  async close(): Promise<void> {
    for (const handle of this.#runs.keys()) await this.release(handle);
    for (const session of this.#sessions.values()) await (await session).release();
    this.#sessions.clear();
  }

  #feeds({ references, candidates, width, height }: Batch): Record<string, Tensor> {
    if (references.length !== 1 && references.length !== candidates.length) {
      throw new DpsError("expected one reference, or one for each candidate");
    }
    const stacked = (images: Uint8Array[]) => {
      const pixels = new Uint8Array(images.length * width * height * 3);
      images.forEach((image, index) => pixels.set(image, index * width * height * 3));
      return this.#tensor("uint8", pixels, [images.length, height, width, 3]);
    };
    return { reference: stacked(references), distorted: stacked(candidates) };
  }

  #tensor(type: string, data: unknown, dims: number[]): Tensor {
    return new this.runtime.Tensor(type, data, dims) as Tensor;
  }

  /** Run the part of the graph that gives some tensors; its session is kept. */
  async #run(
    part: string,
    fetches: string[],
    feeds: Record<string, Tensor>,
    given?: Map<string, TensorType>,
  ): Promise<Record<string, Tensor>> {
    const key = `${part} ${fetches.join(" ")}`;
    let opening = this.#sessions.get(key);
    if (!opening) {
      opening = this.#open(this.graph.part(fetches, given));
      this.#sessions.set(key, opening);
      opening.catch(() => this.#sessions.delete(key));
    }
    const session = await opening;
    const taken = Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]]));
    // One after another: onnxruntime-web runs one session at a time.
    const running = this.#queue.then(() => session.run(taken));
    this.#queue = running.catch(() => undefined);
    return (await running) as Record<string, Tensor>;
  }

  async #open(model: Uint8Array): Promise<Session> {
    const providers = this.device === "webgpu" ? ["webgpu", "wasm"] : [this.device];
    const opened = await this.runtime.InferenceSession.create(model, {
      executionProviders: providers,
      ...(this.threads && this.device === "cpu" ? { intraOpNumThreads: this.threads } : {}),
    });
    return opened as Session;
  }
}

function measurementOf(outputs: Record<string, Tensor>, index: number): Measurement {
  const row = (name: string): Float32Array | null => {
    const tensor = outputs[name];
    if (!tensor) return null;
    const length = tensor.dims.slice(1).reduce((product, size) => product * size, 1);
    // A copy: it outlives the tensor.
    return (tensor.data as Float32Array).slice(index * length, (index + 1) * length);
  };
  const cells = row("cells");
  const [, rows = 0, columns = 0, kinds = 0] = outputs["cells"]?.dims ?? [];
  return {
    distance: row("distance")?.[0] ?? null,
    amounts: row("amounts"),
    strengths: row("strengths"),
    directions: row("directions"),
    cells: cells && { data: cells, rows, columns, kinds },
  };
}

function gridsOf(tensor: Tensor): Grid[] {
  const [count = 0, rows = 0, columns = 0] = tensor.dims;
  const data = tensor.data as Float32Array;
  return Array.from({ length: count }, (_, index) => ({
    data: data.slice(index * rows * columns, (index + 1) * rows * columns),
    rows,
    columns,
  }));
}

function check({ distance, amounts }: Measurement): void {
  const values = [...(amounts ?? []), ...(distance === null ? [] : [distance])];
  if (!values.length || !values.every((value) => Number.isFinite(value) && value >= 0)) {
    throw new DpsError("the file gave a number that is not finite or below 0: export it again");
  }
}
