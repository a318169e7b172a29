// Fields that hide the rows of a long table which do not hold their text.
"use strict";

for (const field of document.querySelectorAll("[data-find]")) {
  const rows = [...document.getElementById(field.dataset.find).tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  field.parentElement.hidden = false;
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase().split(/\s+/);
    rows.forEach((row, i) => (row.hidden = !wanted.every((word) => texts[i].includes(word))));
  });
}
