import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import pngjs from "pngjs";

/** Where the vectors and the embedded file lie; the environment names other ones. */
export const VECTORS = process.env.DPS_VECTORS ?? inRepository("clients/conformance/vectors.json");
export const FILE = process.env.DPS_FILE ?? inRepository("dps_infer/model/universal.onnx");

/** Return the RGBA pixels of a PNG that lies beside the vectors. */
export function readImage(path) {
  const { data, width, height } = pngjs.PNG.sync.read(readFileSync(new URL(path, base())));
  return { data: new Uint8Array(data), width, height };
}

export function readVectors() {
  return JSON.parse(readFileSync(VECTORS, "utf-8"));
}

function base() {
  return new URL(`file://${VECTORS}`);
}

function inRepository(path) {
  return fileURLToPath(new URL(`../../../${path}`, import.meta.url));
}
