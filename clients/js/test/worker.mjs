import { serve } from "../dist/worker.js";

serve((device) =>
  import(device === "webgpu" ? "/ort/ort.webgpu.bundle.min.mjs" : "/ort/ort.wasm.bundle.min.mjs"),
);
