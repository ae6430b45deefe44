/** Copy the universal context file into the package. */

import { cpSync } from "node:fs";

const root = new URL("../", import.meta.url);
cpSync(new URL("../../dps_infer/model/universal.onnx", root), new URL("universal.onnx", root));
