/** onnxruntime, as far as this client uses it: onnxruntime-node, or onnxruntime-web. */

import { DpsError } from "./errors.js";

/** What computes: `webgpu` and `wasm` in browsers, `cpu` in Node. */
export type Device = "webgpu" | "wasm" | "cpu";

export interface Tensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
  dispose?(): void;
}

export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, unknown>): Promise<Record<string, unknown>>;
  release(): Promise<void>;
}

/** The module `onnxruntime-web` or `onnxruntime-node`. */
export interface Runtime {
  InferenceSession: {
    create(model: Uint8Array, options?: Record<string, unknown>): Promise<unknown>;
  };
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  Tensor: new (type: any, data: any, dims: readonly number[]) => unknown;
  env: { wasm: { numThreads?: number } };
}

export interface RuntimeOptions {
  /** The module to use; default: the installed one that fits the device. */
  runtime?: Runtime;
  /** What computes; default: WebGPU where a real one is there, WebAssembly else; in Node, the CPU. */
  device?: Device;
  /** CPU threads; more than 1 in a browser only in pages that are isolated from other origins. */
  threads?: number;
}

export const IN_NODE = typeof process !== "undefined" && Boolean(process.versions?.node);

/** Choose the device and its module. */
export async function openRuntime(
  options: RuntimeOptions,
): Promise<{ runtime: Runtime; device: Device }> {
  const device = options.device ?? (await bestDevice());
  let { runtime } = options;
  if (!runtime) {
    try {
      if (device === "cpu") runtime = (await import("onnxruntime-node")) as unknown as Runtime;
      else if (device === "webgpu") {
        runtime = (await import("onnxruntime-web/webgpu")) as unknown as Runtime;
      } else runtime = (await import("onnxruntime-web/wasm")) as unknown as Runtime;
    } catch (error) {
      const name = device === "cpu" ? "onnxruntime-node" : "onnxruntime-web";
      throw new DpsError(`${name} cannot be loaded: npm install ${name} (${String(error)})`);
    }
  }
  if (device !== "cpu") runtime.env.wasm.numThreads = options.threads ?? defaultThreads();
  return { runtime, device };
}

/** Return the best device of this page or process; an emulated GPU is slower than WebAssembly. */
export async function bestDevice(): Promise<Device> {
  if (IN_NODE) return "cpu";
  const { gpu } = globalThis.navigator as { gpu?: Gpu };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  const emulated =
    !adapter ||
    adapter.isFallbackAdapter ||
    adapter.info?.isFallbackAdapter ||
    /swiftshader|llvmpipe/i.test(`${adapter.info?.architecture} ${adapter.info?.description}`);
  return emulated ? "wasm" : "webgpu";
}

/** Read a file: its bytes, an address, or in Node a path. */
export async function readFile(source: Uint8Array | ArrayBuffer | URL | string): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (IN_NODE && !/^https?:/.test(String(source))) {
    const { readFile: read } = await import("node:fs/promises");
    return new Uint8Array(await read(source));
  }
  const response = await fetch(source);
  if (!response.ok) throw new DpsError(`${source} cannot be read: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

function defaultThreads(): number {
  const cores = globalThis.navigator?.hardwareConcurrency ?? 1;
  return globalThis.crossOriginIsolated ? Math.min(4, cores) : 1;
}

interface Gpu {
  requestAdapter(): Promise<{
    isFallbackAdapter?: boolean;
    info?: { isFallbackAdapter?: boolean; architecture?: string; description?: string };
  } | null>;
}
