/** Put the page together in `page-dist`: one folder of static files, to be served as it is. */

import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const root = new URL("../", import.meta.url);
const repository = new URL("../../", root);
const target = new URL("page-dist/", root);
const packages = new URL("node_modules/onnxruntime-web/dist/", root);

/** Scripts of onnxruntime-web as `.js`, which every server knows, and the modules beside them. */
const RUNTIME = {
  "ort.wasm.bundle.min.mjs": "ort.wasm.bundle.min.js",
  "ort.webgpu.bundle.min.mjs": "ort.webgpu.bundle.min.js",
  "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
  "ort-wasm-simd-threaded.asyncify.wasm": "ort-wasm-simd-threaded.asyncify.wasm",
};

/** Contexts to start from, before those of the gallery. */
const FIRST = ["general"];

mkdirSync(new URL("ort/", target), { recursive: true });
cpSync(new URL("page/index.html", root), new URL("index.html", target));
cpSync(new URL("page/page.css", root), new URL("page/page.css", target));
cpSync(new URL("dps_infer/model/universal.onnx", repository), new URL("universal.onnx", target));
for (const name of readdirSync(new URL("dist/", root))) {
  if (name.endsWith(".js")) cpSync(new URL(`dist/${name}`, root), new URL(`dist/${name}`, target));
}
for (const [from, to] of Object.entries(RUNTIME)) {
  cpSync(new URL(from, packages), new URL(`ort/${to}`, target));
}
const gallery = new URL("dps_infer/contexts/gallery/", repository);
const contexts = readdirSync(gallery).map((name) => {
  const text = readFileSync(new URL(name, gallery), "utf-8");
  const [, table] = text.split("[importances]");
  if (!table) throw new Error(`${name} has no importances`);
  const numbers = table.matchAll(/^(\w+) = ([0-9.]+)$/gm);
  return {
    name: name.replace(".toml", ""),
    importances: Object.fromEntries([...numbers].map(([, kind, value]) => [kind, Number(value)])),
  };
});
contexts.sort((one, other) => FIRST.includes(other.name) - FIRST.includes(one.name));
writeFileSync(new URL("contexts.json", target), JSON.stringify(contexts));
