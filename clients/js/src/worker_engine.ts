/** A context file that runs in a worker, so that a page never freezes. */

import type { Batch, Engine, Run } from "./engine.js";
import { DpsError } from "./errors.js";
import type { Grid } from "./heatmap.js";
import type { Manifest } from "./manifest.js";
import type { Device, RuntimeOptions } from "./runtime.js";

/** A call of the page, and the worker's answer. */
export interface Call {
  id: number;
  method: "open" | "measure" | "maps" | "release" | "close" | "decode";
  values: unknown[];
}

export interface Answer {
  id: number;
  value?: unknown;
  error?: string;
}

/** Open a context file in a worker, whose script calls `serve` of `dps-client/worker`. */
export async function openInWorker(
  worker: Worker,
  source: Uint8Array | ArrayBuffer | URL | string,
  options: RuntimeOptions,
): Promise<WorkerEngine> {
  if (options.runtime) throw new DpsError("a worker takes its runtime from its own script");
  // A worker resolves addresses by its own place.
  const place = source instanceof URL || typeof source === "string"
    ? new URL(source, globalThis.location?.href).href
    : source;
  const calls = new Calls(worker);
  const { manifest, device } = await calls.call<{ manifest: Manifest; device: Device }>("open", [
    place,
    options,
  ]);
  return new WorkerEngine(calls, manifest, device);
}

export class WorkerEngine implements Engine {
  constructor(
    readonly calls: Calls,
    readonly manifest: Manifest,
    readonly device: Device,
  ) {}

  measure(batch: Batch, maps: boolean): Promise<Run> {
    return this.calls.call("measure", [batch, maps]);
  }

  maps(handle: number, importances: Float32Array): Promise<Grid[]> {
    return this.calls.call("maps", [handle, importances]);
  }

  release(handle: number): Promise<void> {
    return this.calls.call("release", [handle]);
  }

  /** Decode an image in the worker; see `decodeImage`. */
  decode(blob: Blob, largest?: number): Promise<ImageData> {
    return this.calls.call("decode", [blob, largest]);
  }

  async close(): Promise<void> {
    await this.calls.call("close", []);
    this.calls.worker.terminate();
  }
}

export class Calls {
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #last = 0;

  constructor(readonly worker: Worker) {
    worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
      this.#waiting.get(data.id)?.(data);
      this.#waiting.delete(data.id);
    });
    worker.addEventListener("error", (event) => {
      const error = event.message || "its script cannot be loaded";
      for (const answer of this.#waiting.values()) answer({ id: 0, error: `the worker: ${error}` });
      this.#waiting.clear();
    });
  }

  call<Value>(method: Call["method"], values: unknown[]): Promise<Value> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, ({ value, error }) => {
        if (error === undefined) resolve(value as Value);
        else reject(new DpsError(error));
      });
      this.worker.postMessage({ id, method, values } satisfies Call);
    });
  }
}
