/** A file, an image or a context that cannot be used: one line that says what to do. */
export class DpsError extends Error {
  override name = "DpsError";
}
