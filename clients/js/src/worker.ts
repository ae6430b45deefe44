/**
 * The worker's side of `openInWorker`. A script of a worker that finds onnxruntime by itself:
 *
 *     import { serve } from "dps-client/worker";
 *     serve();
 */

import { type Batch, type Engine, openEngine } from "./engine.js";
import { DpsError } from "./errors.js";
import { decodeImage } from "./pixels.js";
import { bestDevice, type Device, type Runtime, type RuntimeOptions } from "./runtime.js";
import type { Answer, Call } from "./worker_engine.js";

/** Side of the images of a first run, in which onnxruntime loads and compiles. */
const SMALL = 64;

interface WorkerScope {
  onmessage: ((event: MessageEvent<Call>) => void) | null;
  postMessage(answer: Answer): void;
}

/**
 * Answer the calls of a page.
 *
 * @param loadRuntime - how to get the module for a device; default: the installed packages. Where
 *   that fails for WebGPU, WebAssembly takes its place.
 */
export function serve(loadRuntime?: (device: Device) => Promise<Runtime>): void {
  const scope = globalThis as unknown as WorkerScope;
  let engine: Engine | undefined;

  const open = async (source: Uint8Array | string, options: RuntimeOptions) => {
    const device = options.device ?? (await bestDevice());
    const start = async (chosen: Device) => {
      const runtime = await loadRuntime?.(chosen);
      return openEngine(source, { ...options, device: chosen, ...(runtime ? { runtime } : {}) });
    };
    try {
      engine = await start(device);
      await warmUp(engine);
    } catch (error) {
      if (device !== "webgpu" || options.device) throw error;
      engine = await start("wasm");
      await warmUp(engine);
    }
    return { manifest: engine.manifest, device: engine.device };
  };

  const answer = ({ method, values }: Call): Promise<unknown> => {
    if (method === "open") return open(...(values as [Uint8Array | string, RuntimeOptions]));
    if (method === "decode") return decodeImage(...(values as [Blob, number | undefined]));
    if (!engine) throw new DpsError("no file is open");
    if (method === "measure") return engine.measure(...(values as [Batch, boolean]));
    if (method === "maps") return engine.maps(...(values as [number, Float32Array]));
    if (method === "release") return engine.release(values[0] as number);
    return engine.close();
  };

  scope.onmessage = async ({ data }) => {
    try {
      scope.postMessage({ id: data.id, value: await answer(data) });
    } catch (error) {
      scope.postMessage({ id: data.id, error: error instanceof Error ? error.message : `${error}` });
    }
  };
}

/** Run a file once, so that the first pair of images does not wait for loading and compiling. */
async function warmUp(engine: Engine): Promise<void> {
  const gray = (value: number) => new Uint8Array(SMALL * SMALL * 3).fill(value);
  const batch = { references: [gray(0)], candidates: [gray(99)], width: SMALL, height: SMALL };
  const { handle } = await engine.measure(batch, true);
  await engine.maps(handle, new Float32Array(engine.manifest.metric.amounts.length).fill(1));
  await engine.release(handle);
}
