/** The worker of the page: onnxruntime-web lies beside it. */

import { serve } from "../dist/worker.js";
import type { Runtime } from "../dist/runtime.js";

serve(async (device) => {
  const name = device === "webgpu" ? "ort.webgpu.bundle.min.js" : "ort.wasm.bundle.min.js";
  return (await import(new URL(`../ort/${name}`, import.meta.url).href)) as Runtime;
});
