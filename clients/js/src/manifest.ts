/** The description inside a context file, as far as this client needs it. */

import { DpsError } from "./errors.js";

export const FORMAT = 4;
const KEY = "dps.manifest";
const HASH_KEY = "dps.manifest.sha256";

/** A kind of change that the metric names. */
export interface Kind {
  name: string;
  /** Unit of the strength; null where none is reported. */
  unit: string | null;
  /** The second image where the direction is positive, and where it is negative. */
  directions: [string, string] | null;
}

export interface Calibration {
  levels: number[];
  /** Per kind, the distance at each level. */
  distances: Record<string, number[]>;
}

export interface Manifest {
  format: number;
  metric: {
    name: string;
    ranking: string[][] | null;
    amounts: string[];
    importances: Record<string, number> | null;
    distortions: Kind[];
  };
  calibration: Calibration | null;
  draws: { images: number; per_image: number; amounts: Record<string, number[][]> } | null;
  ladders: { name: string; steps: number[]; amounts: number[][][] }[];
  cell: number | null;
}

/** Read the manifest in a file's metadata; throws a `DpsError` where it is not one of this format. */
export async function readManifest(metadata: ReadonlyMap<string, string>): Promise<Manifest> {
  const text = metadata.get(KEY);
  if (text === undefined) {
    throw new DpsError("the model is no context file: it has no manifest. Export one with dps-export");
  }
  const stated = metadata.get(HASH_KEY);
  if (stated !== undefined && globalThis.crypto?.subtle && stated !== (await sha256(text))) {
    throw new DpsError("the file is damaged: its manifest is not the one that was exported");
  }
  let manifest: Manifest;
  try {
    manifest = JSON.parse(text) as Manifest;
  } catch {
    throw new DpsError("the file is damaged: its manifest is no JSON");
  }
  if (manifest.format !== FORMAT) {
    const advice = manifest.format > FORMAT ? "update this client" : "export the file again";
    throw new DpsError(
      `the file has manifest format ${manifest.format}, this client reads ${FORMAT}: ${advice}`,
    );
  }
  return manifest;
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
