"use strict";

const JUDGES = { 1: 0, 2: 1, 0: 0.5, " ": 0.5 };
const BUTTONS = { first: 0, second: 1, neither: 0.5 };
const LABELS = { 0: "the first is closer", 1: "the second is closer", 0.5: "cannot say" };
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

const WAIT_MILLISECONDS = 300;
const FEWEST = 5; // answers that a fit takes

let state = null;
let finished = false;
/** Keys are ignored while an answer is being sent or pictures are loading. */
let waiting = true;

function setWaiting(value) {
  waiting = value;
  // Other buttons stay enabled: a disabled button loses the focus.
  byId("undo").disabled = state === null || state.answered === 0;
  byId("judging").setAttribute("aria-busy", value);
  document.documentElement.toggleAttribute("data-ready", !value);
}

/** Send a request and show the new state; `done` returns the message about it. */
async function ask(path, body, done = () => "") {
  setWaiting(true);
  let problem = "";
  try {
    const response = await fetch(path, body === undefined ? {} : {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (answer.preparing !== undefined) {
      showPreparation(...answer.preparing);
      setTimeout(() => ask("state"), WAIT_MILLISECONDS);
      return;
    }
    if (answer.error === undefined) {
      finished = finished || (response.ok && path === "finish");
      await show(answer);
      byId("last").textContent = response.ok ? done(state.answered) : "";
    } else {
      problem = answer.error;
    }
  } catch {
    problem = "The program in the terminal does not respond. Start it again with the same --out " +
      "and open the address that it prints. No answer is lost.";
  }
  byId("problem").textContent = problem;
  byId("problem").hidden = problem === "";
  setWaiting(false);
}

function showPreparation(done, total) {
  if (total === 0) return;
  byId("prepared").textContent = `${done} of ${total} pictures`;
  byId("preparation").max = total;
  byId("preparation").value = done;
}

async function show(next) {
  state = next;
  const asking = state.question !== null && !finished;
  byId("preparing").hidden = true;
  byId("known").hidden = false;
  byId("judging").hidden = finished || (!asking && state.answered === 0);
  byId("exhausted").hidden = asking || finished;
  byId("finished").hidden = !finished;
  showKnown();
  showEnd();
  if (asking) {
    await Promise.all(["reference", "p0", "p1"].map((id, place) => {
      const image = byId(id);
      image.src = `picture/${state.question}/${place}`;
      return image.decode();
    }));
  }
}

function showKnown() {
  const { answered, cannotSay, enough, words } = state;
  byId("answered").textContent = answered < enough
    ? `${answered} of about ${enough} answers`
    : `${answered} answers`;
  byId("progress").max = enough;
  byId("progress").value = Math.min(answered, enough);
  byId("advice").textContent = (cannotSay > 0 ? `${cannotSay} of them “cannot say”. ` : "") +
    (answered < enough ? "You can stop at any time; fewer answers help too." : "This is usually enough. More answers make the result more certain.");
  showAgreement(state.foretold);
  byId("file").textContent = state.file;
  byId("command").textContent = state.command;
  byId("most").textContent = words.most;
  byId("times").replaceChildren(...words.times.map((text) => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }));
  byId("unclear").textContent = words.unclear;
  byId("importances").replaceChildren(...state.importances.map(bar));
}

/** What the metric foretold: the share of the checks, and its interval. */
function showAgreement({ right, checks, low, high }) {
  const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
  byId("agreement").textContent = checks === 0
    ? "It has guessed none of your answers yet."
    : `It agrees with ${right} of your last ${checks} answers to random questions: ` +
      `${percent(right / checks)}, between ${percent(low)} and ${percent(high)}.`;
  byId("share").replaceChildren(...(checks === 0 ? [] : [drawing(right / checks, low, high,
    `${percent(right / checks)}, 95 % interval ${percent(low)} to ${percent(high)}`)]));
}

/** What is kept and what to run next, once the judging is finished. */
function showEnd() {
  const count = `${state.answered} ${state.answered === 1 ? "answer is" : "answers are"}`;
  byId("kept").textContent = state.answered === 0
    ? "You gave no answer, so there is no file."
    : `Your ${count} in ${state.file}.`;
  const enough = state.answered >= FEWEST;
  byId("next").textContent = enough
    ? "To adapt a metric to them, run this in the terminal:"
    : `A metric can be adapted to ${FEWEST} or more. To go on, start dps-train judge again with the same --out.`;
  byId("run").textContent = enough ? state.command : "";
}

function bar({ name, words, value, low, high }) {
  const row = document.createElement("div");
  row.className = "importance";
  row.title = words;
  const label = document.createElement("span");
  label.textContent = name;
  row.append(label, drawing(value, low, high,
    `${value.toFixed(2)}, 90 % interval ${low.toFixed(2)} to ${high.toFixed(2)}`));
  return row;
}

/** A bar of a value in [0, 1], and its interval below. */
function drawing(value, low, high, words) {
  const drawn = document.createElementNS(SVG, "svg");
  drawn.setAttribute("viewBox", "0 0 100 14");
  drawn.setAttribute("preserveAspectRatio", "none");
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", words);
  drawn.append(
    box("track", 0, 100, 0, 10),
    box("value", 0, 100 * value, 0, 10),
    box("interval", 100 * low, 100 * (high - low), 12, 2),
  );
  return drawn;
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
  if (waiting || finished || state.question === null) return;
  ask("answer", { question: state.question, judge },
    (count) => `Answer ${count} is saved: ${LABELS[judge]}.`);
}

function undo() {
  if (waiting || finished || state.answered === 0) return;
  ask("undo", {}, (count) => `Answer ${count + 1} is removed; the question is back.`);
}

for (const [id, judge] of Object.entries(BUTTONS)) {
  byId(id).addEventListener("click", () => answer(judge));
}
byId("undo").addEventListener("click", undo);
byId("finish").addEventListener("click", () => {
  if (!waiting) ask("finish", {});
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  // A focused button handles the space bar itself.
  if (event.key === " " && event.target.matches("button")) return;
  if (event.key in JUDGES) answer(JUDGES[event.key]);
  else if (event.key === "u" || event.key === "U") undo();
  else return;
  event.preventDefault();
});
ask("state");
