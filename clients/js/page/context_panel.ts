/** The panel on which a context is set: a slider for each kind of change, or their order. */

import {
  type Comparison,
  type Context,
  type ContextGiven,
  chooseContext,
  IMPORTANCE_RATIO,
  type Kind,
} from "../dist/index.js";
import { byId, digits, element, twoDigits } from "./elements.js";
import { kindWords } from "./words.js";

export interface Preset {
  name: string;
  importances: Record<string, number>;
}

interface Row {
  importance: number;
  slider: HTMLInputElement;
  value: HTMLOutputElement;
  bar: HTMLElement;
  words: HTMLElement;
}

/** Steps of a slider: the first is 0, the others go from the least to the most importance. */
const STEPS = 121;
const LEAST = 0.01;
const MOST = 10;

/** Kinds that an order begins with as the most disruptive. */
const MATTER_MOST = ["content", "mirror", "other"];

export class ContextPanel {
  readonly #rows = new Map<string, Row>();
  #places: string[][];
  /** The places of a context that has no order. */
  readonly #unordered: string[][];

  constructor(
    readonly kinds: readonly Kind[],
    readonly presets: readonly Preset[],
    readonly changed: () => void,
  ) {
    const all = [...kinds.map((kind) => kind.name), "other"];
    // Until someone says more, whatever changes the content of an image matters most.
    const most = all.filter((name) => MATTER_MOST.includes(name));
    this.#unordered = [all.filter((name) => !most.includes(name)), most];
    this.#places = this.#unordered;
    for (const name of [...kinds.map((kind) => kind.name), "other", "size"]) this.#addSlider(name);
    const preset = byId<HTMLSelectElement>("preset");
    for (const { name } of presets) preset.append(element("option", { value: name, text: name }));
    preset.addEventListener("change", () => {
      this.#start(preset.value);
      changed();
    });
    for (const radio of document.querySelectorAll<HTMLInputElement>("[name=how]")) {
      radio.addEventListener("change", () => {
        this.#show();
        changed();
      });
    }
    byId("places").addEventListener("dragover", (event) => this.#drag(event));
    this.#start(presets[0]?.name ?? "");
    this.#show();
  }

  /** The context that is set. */
  get context(): Context {
    return chooseContext(this.given, this.kinds.map((kind) => kind.name));
  }

  get given(): ContextGiven {
    if (this.#ordered) return { ranking: this.#places };
    const importances = Object.fromEntries(
      [...this.#rows].map(([name, { importance }]) => [name, importance]),
    );
    return { importances };
  }

  /** Show what each kind contributes to a distance. */
  showParts(comparison: Comparison): void {
    const largest = Math.max(...Object.values(comparison.parts), 1e-9);
    for (const [name, { bar, words }] of this.#rows) {
      const part = comparison.parts[name] ?? 0;
      bar.style.transform = `scaleX(${part / largest})`;
      const kind = this.kinds.find((one) => one.name === name);
      const shown = comparison.amounts[name] ? (kind ? kindWords(kind, comparison) : "") : "";
      const text = part > 0 ? `${digits(part)}${shown ? ` · ${shown}` : ""}` : shown;
      if (words.textContent !== text) words.textContent = text;
    }
  }

  get #ordered(): boolean {
    return document.querySelector<HTMLInputElement>("[name=how]:checked")?.value === "order";
  }

  #addSlider(name: string): void {
    const label = element("label", { className: "row" });
    const slider = element("input", { type: "range", min: "0", max: `${STEPS}`, step: "1" });
    slider.dataset.kind = name;
    const value = element("output");
    const part = element("span", { className: "part" });
    const row: Row = {
      importance: 0,
      slider,
      value,
      bar: element("span", { className: "bar" }),
      words: element("span"),
    };
    part.append(row.bar, row.words);
    const title = element("span", { textContent: name });
    if (name === "size") title.title = "the general distance: all kinds of change alike";
    label.append(title, slider, value, part);
    slider.addEventListener("input", () => {
      this.#setValue(row, importanceAt(slider.valueAsNumber));
      this.changed();
    });
    byId("sliders").append(label);
    this.#rows.set(name, row);
  }

  #setValue(row: Row, importance: number): void {
    row.importance = importance;
    row.value.textContent = `${importance}`;
    row.slider.setAttribute("aria-valuetext", `${importance}`);
  }

  /** Set the sliders, and the order of the kinds, to a context of the list. */
  #start(name: string): void {
    const { importances = {} } = this.presets.find((one) => one.name === name) ?? {};
    for (const [kind, row] of this.#rows) {
      row.slider.value = `${stepOf(importances[kind] ?? 0)}`;
      // The number itself, which may lie between two steps of the slider.
      this.#setValue(row, importances[kind] ?? 0);
    }
    const levels = new Map<number, string[]>();
    for (const kind of [...this.kinds.map((one) => one.name), "other"]) {
      const level = importances[kind] ?? 0;
      levels.set(level, [...(levels.get(level) ?? []), kind]);
    }
    const groups = [...levels].sort(([first], [second]) => first - second).map(([, group]) => group);
    // A ranking has two places at least.
    this.#places = groups.length > 1 ? groups : this.#unordered;
    this.#showOrder();
  }

  #show(): void {
    byId("sliders").hidden = this.#ordered;
    byId("order").hidden = !this.#ordered;
  }

  #showOrder(focus?: { kind: string; button: number }): void {
    const list = byId("places");
    list.replaceChildren();
    const kinds = this.#places.flat();
    for (const kind of kinds) {
      const place = this.#places.findIndex((group) => group.includes(kind));
      const tied = this.#places[place]![0] !== kind;
      const item = element("li", { draggable: true, className: tied ? "tied" : "" });
      item.dataset.kind = kind;
      const name = element("span", { textContent: kind });
      name.append(element("small", { textContent: twoDigits(IMPORTANCE_RATIO ** (place - this.#places.length + 1)) }));
      const buttons = element("span");
      const add = (text: string, title: string, act: () => void, pressed?: boolean) => {
        const button = element("button", { type: "button", textContent: text, title });
        button.setAttribute("aria-label", `${kind}: ${title}`);
        if (pressed !== undefined) button.setAttribute("aria-pressed", `${pressed}`);
        const index = buttons.childElementCount;
        button.addEventListener("click", () => {
          act();
          this.#showOrder({ kind, button: index });
          this.changed();
        });
        buttons.append(button);
        return button;
      };
      const first = kind === kinds[0];
      add("=", "as important as the one above", () => this.#tie(kind), tied).disabled = first;
      add("↑", "less disruptive", () => this.#move(kind, -1)).disabled = first;
      add("↓", "more disruptive", () => this.#move(kind, 1)).disabled = kind === kinds.at(-1);
      item.append(name, buttons);
      item.addEventListener("dragstart", () => item.classList.add("dragged"));
      item.addEventListener("dragend", () => this.#drop());
      list.append(item);
      if (focus?.kind === kind) {
        const wanted = buttons.children[focus.button] as HTMLButtonElement;
        (wanted.disabled ? (buttons.querySelector("button:enabled") as HTMLElement) : wanted).focus();
      }
    }
  }

  /** Give a kind a place of its own, next to where it is, or past its neighbor. */
  #move(kind: string, step: number): void {
    const place = this.#places.findIndex((group) => group.includes(kind));
    const group = this.#places[place]!;
    const rest = group.filter((one) => one !== kind);
    const places = this.#places.toSpliced(place, 1, ...(rest.length ? [rest] : []));
    const removed = rest.length ? 0 : 1;
    const at = step < 0 ? place - removed : place + 1;
    this.#places = places.toSpliced(Math.max(0, at), 0, [kind]);
  }

  #tie(kind: string): void {
    const place = this.#places.findIndex((group) => group.includes(kind));
    const group = this.#places[place]!;
    if (group[0] === kind) {
      // Two places must be left.
      if (this.#places.length <= 2) return;
      this.#places = this.#places.toSpliced(place - 1, 2, [...this.#places[place - 1]!, ...group]);
    } else {
      const split = group.indexOf(kind);
      this.#places = this.#places.toSpliced(place, 1, group.slice(0, split), group.slice(split));
    }
  }

  #drag(event: DragEvent): void {
    const dragged = document.querySelector("#places .dragged");
    const over = (event.target as HTMLElement).closest("#places li");
    if (!dragged || !over) return;
    event.preventDefault();
    const { top, height } = over.getBoundingClientRect();
    over.parentElement?.insertBefore(dragged, event.clientY < top + height / 2 ? over : over.nextSibling);
  }

  #drop(): void {
    const items = [...document.querySelectorAll<HTMLElement>("#places li")];
    const moved = document.querySelector<HTMLElement>("#places .dragged")?.dataset.kind;
    const tied = new Set(this.#places.flatMap((group) => group.slice(1)));
    const places: string[][] = [];
    for (const { dataset } of items) {
      const kind = dataset.kind!;
      if (tied.has(kind) && kind !== moved && places.length) places.at(-1)!.push(kind);
      else places.push([kind]);
    }
    this.#places = places;
    this.#showOrder();
    this.changed();
  }
}

function importanceAt(step: number): number {
  if (step === 0) return 0;
  const value = LEAST * (MOST / LEAST) ** ((step - 1) / (STEPS - 1));
  return Number(value.toPrecision(2));
}

function stepOf(importance: number): number {
  if (importance <= 0) return 0;
  const share = Math.log(importance / LEAST) / Math.log(MOST / LEAST);
  return Math.round(1 + Math.min(1, Math.max(0, share)) * (STEPS - 1));
}
