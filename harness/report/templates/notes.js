// Texts of queries stand compressed in the run document; one is shown when somebody opens it.
const told = {
  Plan: ({plan}, i) => [`digest ${plan[i].digest}, ${plan[i].milliseconds.toFixed(2)} ms, ` +
    `${plan[i].rows} rows`, ...plan[i].remarks, "", ...plan[i].outline].join("\n"),
  Why: ({explanation}, i) => explanation[i].join("\n"),
  SQL: ({statement}, i) => statement[i],
};
let queries;
const read = async () => {
  const packed = atob(document.getElementById("run").textContent);
  const stream = new Blob([Uint8Array.from(packed, c => c.charCodeAt(0))]).stream();
  const run = await new Response(stream.pipeThrough(new DecompressionStream("gzip"))).json();
  return run.load.queries;
};
document.addEventListener("toggle", async event => {
  const place = event.target.querySelector(":scope > pre:empty");
  if (!place) return;
  const [part] = event.target.textContent.split(",");
  const all = await (queries ??= read());
  place.tabIndex = 0;
  place.textContent = told[part](all, all.name.indexOf(place.closest("tr").id));
}, true);
