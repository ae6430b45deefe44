"use strict";

const JUDGES = { 1: 0, 2: 1, 0: 0.5, " ": 0.5 };
const BUTTONS = { first: 0, second: 1, neither: 0.5 };
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

let state = null;
/** While an answer is on its way, or pictures are coming, keys do nothing. */
let waiting = true;

function setWaiting(value) {
  waiting = value;
  for (const id of Object.keys(BUTTONS)) byId(id).disabled = value;
  byId("undo").disabled = value || state === null || state.answered === 0;
  document.documentElement.toggleAttribute("data-ready", !value);
}

async function ask(path, body) {
  setWaiting(true);
  let problem = "";
  try {
    const response = await fetch(path, body === undefined ? {} : {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (answer.error === undefined) await show(answer);
    else problem = answer.error;
  } catch {
    problem = "The program in the terminal does not answer. Start it again with the same --out, " +
      "and open the address that it prints: no answer is lost.";
  }
  byId("problem").textContent = problem;
  byId("problem").hidden = problem === "";
  setWaiting(false);
}

async function show(next) {
  state = next;
  const asking = state.question !== null;
  byId("judging").hidden = !asking && state.answered === 0;
  byId("finished").hidden = asking;
  showKnown();
  if (asking) {
    await Promise.all(["reference", "p0", "p1"].map((id, place) => {
      const image = byId(id);
      image.src = `picture/${state.question}/${place}`;
      return image.decode();
    }));
  }
}

function showKnown() {
  const { answered, cannotSay, enough } = state;
  byId("answered").textContent = `${answered} answer${answered === 1 ? "" : "s"}` +
    (cannotSay > 0 ? `, ${cannotSay} of them “cannot say”` : "");
  byId("progress").max = enough;
  byId("progress").value = Math.min(answered, enough);
  byId("advice").textContent = answered < enough
    ? `About ${enough} are usually enough.`
    : "Usually this is enough. More make it surer.";
  byId("sure").textContent = `About ${Math.round(100 * state.sure)} %`;
  byId("file").textContent = state.file;
  byId("words").replaceChildren(...state.words.map((text) => {
    const line = document.createElement("p");
    line.textContent = text;
    return line;
  }));
  byId("importances").replaceChildren(...state.importances.map(bar));
}

function bar({ name, words, value, low, high }) {
  const row = document.createElement("div");
  row.className = "importance";
  row.title = words;
  const label = document.createElement("span");
  label.textContent = name;
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 100 14");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label",
    `${value.toFixed(2)}, in nine of ten cases ${low.toFixed(2)} to ${high.toFixed(2)}`);
  drawing.append(
    box("track", 0, 100, 1, 12),
    box("value", 0, 100 * value, 1, 12),
    box("interval", 100 * low, 100 * (high - low), 6, 2),
  );
  row.append(label, drawing);
  return row;
}

function box(kind, x, width, y, height) {
  const node = document.createElementNS(SVG, "rect");
  node.setAttribute("class", kind);
  for (const [name, number] of Object.entries({ x, width, y, height })) {
    node.setAttribute(name, String(number));
  }
  return node;
}

function answer(judge) {
  if (!waiting && state.question !== null) ask("answer", { question: state.question, judge });
}

function undo() {
  if (!waiting && state.answered > 0) ask("undo", {});
}

for (const [id, judge] of Object.entries(BUTTONS)) {
  byId(id).addEventListener("click", () => answer(judge));
}
byId("undo").addEventListener("click", undo);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  // A button that has the focus takes the space bar for itself.
  if (event.key === " " && event.target.matches("button")) return;
  if (event.key in JUDGES) answer(JUDGES[event.key]);
  else if (event.key === "u" || event.key === "U") undo();
  else return;
  event.preventDefault();
});
ask("state");
