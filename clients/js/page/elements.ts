/** The elements of the page, by their ids. */

export function byId<Type extends HTMLElement = HTMLElement>(id: string): Type {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found as Type;
}

/** Return a new element with a text. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  values: Partial<HTMLElementTagNameMap[Tag]> = {},
): HTMLElementTagNameMap[Tag] {
  return Object.assign(document.createElement(tag), values);
}

/** Write a distance with at least two significant digits. */
export function digits(value: number): string {
  if (value === 0) return "0";
  if (value < 1e-6) return value.toExponential(1);
  return value.toFixed(Math.max(2, 1 - Math.floor(Math.log10(value))));
}

/** Write a number with two significant digits. */
export function twoDigits(value: number): string {
  return value >= 10 ? value.toFixed(0) : `${Number(value.toPrecision(2))}`;
}
