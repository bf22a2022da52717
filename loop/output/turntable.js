"use strict";
// A picture of a volume becomes a plot to turn when it, or its button, is clicked, and a picture again at the next click.
(() => {
  const most = 4; // plots at a time: browsers keep few WebGL contexts
  const live = [];
  let library;
  let busy = Promise.resolve();

  async function unpack(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (c) => c.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  async function load() {
    const script = document.createElement("script");
    script.textContent = await unpack("plotly");
    document.head.append(script);
  }

  function show(stage, state, word) {
    stage.dataset.state = state;
    stage.querySelector("button").textContent = word;
  }

  function still(stage) {
    live.splice(live.indexOf(stage), 1);
    Plotly.purge(stage.querySelector(".plot"));
    stage.querySelector(".plot").remove();
    show(stage, "still", "turn");
  }

  async function turn(stage) {
    await (library ??= load());
    const { data, layout } = JSON.parse(await unpack(stage.dataset.plot));
    if (live.length === most) still(live[0]);
    const plot = document.createElement("div");
    plot.className = "plot";
    stage.append(plot);
    live.push(stage);
    await Plotly.newPlot(plot, data, layout, { displayModeBar: false, responsive: true });
    show(stage, "turning", "still");
  }

  function toggle(stage) {
    if (stage.dataset.state === "turning") still(stage);
    else if (stage.dataset.state !== "loading") {
      show(stage, "loading", "turn");
      busy = busy.then(() => turn(stage)); // one after the other, so that no plot is removed before it is there
    }
  }

  if (!window.DecompressionStream || !document.createElement("canvas").getContext("webgl")) return;
  for (const stage of document.querySelectorAll(".stage")) {
    stage.querySelector("button").hidden = false;
    for (const part of stage.querySelectorAll("button, img")) part.addEventListener("click", () => toggle(stage));
  }
})();
