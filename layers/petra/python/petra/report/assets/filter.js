// Filters the table of findings. Without it all findings are shown.
(() => {
  const form = document.getElementById("filters");
  const table = document.getElementById("findings-table");
  if (!form || !table) return;
  const rows = [...table.tBodies[0].rows];
  const shown = document.getElementById("shown");
  const chosen = (name) =>
    new Set([...form.querySelectorAll(`input[name=${name}]:checked`)].map((box) => box.value));
  const update = () => {
    const severities = chosen("severity");
    const fates = chosen("fate");
    const text = form.elements.text.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const fits = severities.has(row.dataset.severity) && fates.has(row.dataset.fate) &&
        row.textContent.toLowerCase().includes(text);
      row.hidden = !fits;
      count += fits ? 1 : 0;
    }
    shown.textContent = `${count} of ${rows.length} shown`;
  };
  form.hidden = false;
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("beforeprint", () => rows.forEach((row) => { row.hidden = false; }));
  window.addEventListener("afterprint", update);
  update();
})();
