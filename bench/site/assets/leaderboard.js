// Sorting and filtering of the first page. Everything is on the page already; this only moves and hides it.
"use strict";

const board = document.getElementById("leaderboard");
const form = document.getElementById("filters");

function value(row, column) {
  const text = row.cells[column].dataset.sort;
  return text === "" || isNaN(text) ? text : Number(text);
}

function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === ""); // what was not measured comes last
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

function sortBy(header) {
  const column = header.cellIndex;
  const before = header.getAttribute("aria-sort");
  const first = header.firstElementChild.dataset.first;
  const direction = before ? (before === "ascending" ? "descending" : "ascending") : first;
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
  const sign = direction === "ascending" ? 1 : -1;
  for (const body of board.tBodies) {
    const rows = [...body.rows].slice(1);
    rows.sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      return x === "" || y === "" ? compare(x, y) : sign * compare(x, y);
    });
    body.append(...rows);
  }
}

function applyFilters() {
  const suite = document.getElementById("suite").value;
  const difficulty = document.getElementById("difficulty");
  const groups = board ? [...board.tBodies] : [];
  const there = new Set(groups.filter((b) => b.dataset.suite === suite).map((b) => b.dataset.group));
  for (const option of difficulty.options) option.disabled = !there.has(option.value);
  if (!there.has(difficulty.value)) difficulty.value = "all";
  for (const body of groups) body.hidden = body.dataset.suite !== suite || body.dataset.group !== difficulty.value;
  for (const figure of document.querySelectorAll("figure[data-suite]")) figure.hidden = figure.dataset.suite !== suite;

  const wanted = new Set([...form.querySelectorAll("#variants :checked")].map((box) => box.value));
  const methods = new Set([...wanted].map((variant) => variant.split(/[+@]/)[0]));
  const boxes = new Set([...form.querySelectorAll("#variants input")].map((box) => box.value.split(/[+@]/)[0]));
  for (const part of document.querySelectorAll("[data-variant]")) part.toggleAttribute("hidden", !wanted.has(part.dataset.variant));
  for (const part of document.querySelectorAll("[data-method]")) {
    const method = part.dataset.method; // a teacher that was not asked for has no box
    part.toggleAttribute("hidden", boxes.has(method) && !methods.has(method));
  }
  const all = form.querySelectorAll("#variants input").length;
  const status = document.getElementById("leaderboard-status");
  if (status) status.textContent = wanted.size === all ? "" : `${wanted.size} of ${all} methods shown`;
}

if (board) {
  board.classList.add("filtered"); // the controls say which group is shown
  for (const header of board.tHead.rows[0].cells) header.firstElementChild.addEventListener("click", () => sortBy(header));
  board.tHead.rows[0].cells[1].setAttribute("aria-sort", "descending");
}
form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("change", applyFilters);
applyFilters();
