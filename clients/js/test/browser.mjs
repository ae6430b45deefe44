/** Run the conformance vectors in a page, in a worker: what the page's test calls. */

import * as client from "../dist/index.js";
import { runVectors } from "./conformance.mjs";

export async function run(device) {
  const worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
  const metric = await client.Metric.load("/universal.onnx", undefined, { worker, device });
  const vectors = await (await fetch("/conformance/vectors.json")).json();
  const readImage = async (path) =>
    metric.engine.decode(await (await fetch(`/conformance/${path}`)).blob());
  const found = await runVectors(client, metric, vectors, readImage);
  await metric.close();
  return { ...found, device: metric.device };
}
