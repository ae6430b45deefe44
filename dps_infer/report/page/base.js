"use strict";

// The report's data, and small helpers. Text from the results reaches the page only through
// text nodes and attributes: no name, note or error can become markup.

const island = document.getElementById("data");
const report = JSON.parse(island.textContent);
island.remove(); // it may be tens of megabytes, which would be held twice

const pairs = report.pairs;
const pairCount = pairs.reference.length;

let printing = false; // by print.js

const byId = (id) => document.getElementById(id);

/** Make an element with attributes and children; strings become text. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function button(attributes, action, ...children) {
  const node = make("button", { type: "button", ...attributes }, ...children);
  node.addEventListener("click", action);
  return node;
}

/** Format a distance with few digits, but never on the wrong side of the threshold. */
function formatDistance(value, context = state.context) {
  if (value === null) return "–";
  if (value === 0) return "0";
  let digits = 3;
  let text;
  do {
    text = Math.abs(value) < 0.001 ? value.toExponential(digits - 1) : value.toFixed(digits);
    digits += 1;
  } while (digits < 18 && !keepsSide(value, Number(text), thresholdOf(context)));
  return text;
}

function keepsSide(value, shown, threshold) {
  return threshold === null || shown > threshold === value > threshold;
}

/** Format a number that has no threshold. */
function formatNumber(value) {
  return String(Number(value.toPrecision(3)));
}

const formatCount = (count) => count.toLocaleString("en-GB");

/** The color of a part, by its place among the parts of its context; from the ninth on, striped. */
const partClass = (place) => `part-${place % 8}${place < 8 ? "" : " striped"}`;

function decodeBytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
