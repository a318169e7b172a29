// On the page of a task: hide the episodes that ended alike for all methods.
"use strict";

const box = document.getElementById("only-different");
if (box) {
  box.parentElement.hidden = false;
  box.addEventListener("change", () => {
    for (const row of document.querySelectorAll("[data-alike]")) row.hidden = box.checked;
  });
}
