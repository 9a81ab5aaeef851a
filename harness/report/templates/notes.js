// Texts of queries stand compressed in the run document; one is shown when somebody opens it.
const told = {
  plan: ({plan}) => [`digest ${plan.digest}, ${plan.milliseconds.toFixed(2)} ms, ${plan.rows} rows`,
    ...plan.remarks, "", ...plan.outline].join("\n"),
  explanation: query => query.explanation.join("\n"),
  statement: query => query.statement,
};
let queries;
const read = async () => {
  const packed = atob(document.getElementById("run").textContent);
  const stream = new Blob([Uint8Array.from(packed, c => c.charCodeAt(0))]).stream();
  const run = await new Response(stream.pipeThrough(new DecompressionStream("gzip"))).json();
  return new Map(run.load.queries.map(query => [query.name, query]));
};
document.addEventListener("toggle", async event => {
  const place = event.target.querySelector(":scope > pre[data-query]:empty");
  if (!place) return;
  const query = (await (queries ??= read())).get(place.dataset.query);
  place.textContent = told[place.dataset.part](query);
}, true);
