// Tooltips of charts, by pointer and by keyboard.
"use strict";

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true"); // screen readers have the label of the point
document.body.append(tip);

function show(point) {
  tip.textContent = point.dataset.tip;
  tip.hidden = false;
  const mark = (point.querySelector(".mark") || point).getBoundingClientRect();
  const left = Math.min(mark.right + 10, document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(8, left) + scrollX}px`;
  tip.style.top = `${mark.bottom + 8 + scrollY}px`;
}

function hide() {
  tip.hidden = true;
}

for (const point of document.querySelectorAll(".point")) {
  point.addEventListener("pointerenter", () => show(point));
  point.addEventListener("pointerleave", hide);
  point.addEventListener("focus", () => show(point));
  point.addEventListener("blur", hide);
}
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
