/** Compare images with a context file of dps-toolkit, in Node and in browsers. */

export {
  chooseContext,
  commandOption,
  type Context,
  type ContextGiven,
  contextToml,
  formatImportances,
  formatRanking,
  GENERAL,
  IMPORTANCE_RATIO,
  importanceVector,
  parseRanking,
} from "./context.js";
export type { Engine, Measurement } from "./engine.js";
export { DpsError } from "./errors.js";
export { type Box, boxesOf, type Grid, localDistances, paint, type Size } from "./heatmap.js";
export type { Kind, Manifest } from "./manifest.js";
export { type Comparison, type CompareOptions, Measured, Metric, type OpenOptions } from "./metric.js";
export { type Color, composite, decodeImage, type Pixels, renderings } from "./pixels.js";
export { type Anchor, anchorOn, calibrationIn, percentilesOf, scalesIn } from "./readings.js";
export { bestDevice, type Device, type Runtime } from "./runtime.js";
export { WorkerEngine } from "./worker_engine.js";
