"use strict";
// Three things: put in what changed, post what is clicked, and check the form as one types.

const said = document.getElementById("said");

function say(words) {
  said.textContent = words;
  said.hidden = !words;
}

async function post(url, body, signal) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal });
  const told = await answer.json().catch(() => ({ error: `no answer (${answer.status})` }));
  if (!answer.ok) throw new Error(told.error);
  return told;
}

// What changed.

let shown = "";

async function refresh() {
  const answer = await fetch(location.href, { cache: "no-cache" });
  const text = await answer.text();
  if (!answer.ok || text === shown) return;
  shown = text;
  const page = new DOMParser().parseFromString(text, "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = page.getElementById(old.id);
    if (now && now.innerHTML !== old.innerHTML && !old.contains(document.activeElement)) old.replaceWith(now);
  }
}

async function watch() {
  for (;;) {
    await new Promise((done) => setTimeout(done, 2000));
    if (document.hidden) continue;
    await refresh().then(() => document.body.classList.remove("gone"), () => document.body.classList.add("gone"));
  }
}

if (document.querySelector("[data-live]")) watch();

// What is clicked.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-post]");
  if (!button) return;
  button.disabled = true;
  await post(button.dataset.post, {}).then(() => say(""), (error) => say(error.message));
  button.blur();
  button.disabled = false;
  refresh();
});

document.addEventListener("submit", async (event) => {
  const form = event.target;
  event.preventDefault();
  if (!form.dataset.resume) return;
  const body = {};
  for (const [name, value] of new FormData(form)) if (value.trim()) body[name] = read(value);
  await post(form.dataset.resume, body).then(() => location.reload(), (error) => say(error.message));
});

function read(words) {
  // A number where it is one; anything else goes as it is, to be refused in words.
  const plain = words.trim();
  return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : plain;
}

// The form.

const form = document.getElementById("new");
if (form) open_form();

function open_form() {
  const $ = (name) => form.elements[name];
  const start = document.querySelector("button[form=new]");
  const verdict = document.getElementById("verdict");
  const plan = document.getElementById("plan");
  const targets = document.getElementById("targets");
  let as_file = false, last = null, waiting = 0, asking = null, seen = "";

  function add_target() {
    const made = document.getElementById("target").content.cloneNode(true);
    targets.insertBefore(made, targets.querySelector(".chips"));
    renumber();
  }

  function asked() {
    return [...targets.querySelectorAll(".asked")];
  }

  function renumber() {
    const all = asked();
    all.forEach((one, n) => {
      one.querySelector("[name=target]").placeholder = `t${n + 1}`;
      one.querySelector("[data-remove]").hidden = all.length === 1;
    });
  }

  function fit() {
    // A model says itself what its images are.
    const chosen = $("start").selectedOptions[0].dataset;
    const set = { dim: chosen.dim, size: chosen.size, boundary: chosen.boundary };
    [set.k0, set.k1] = (chosen.phases || "").split(", ");
    for (const [name, value] of Object.entries(set)) {
      if (chosen.kind === "model") $(name).value = value;
      $(name).disabled = chosen.kind === "model";
    }
    for (const one of form.querySelectorAll("label[data-kind]")) one.hidden = one.dataset.kind !== chosen.kind;
  }

  function config() {
    const kind = $("start").selectedOptions[0].dataset.kind;
    const sides = $("size").value.split(/[,x]/).map(read);
    const told = {
      name: $("name").value.trim() || "unnamed",
      seed: read($("seed").value),
      microstructure: {
        dim: Number($("dim").value),
        size: sides.length > 1 ? sides : sides[0],
        phase_conductivity: [read($("k0").value), read($("k1").value)],
        boundary: $("boundary").value,
      },
      target: asked().map((one) => {
        const value = (name) => one.querySelector(`[name=${name}]`).value.trim();
        const target = { words: value("words"), designs: read(value("designs")) };
        return value("target") ? { name: value("target"), ...target } : target;
      }),
      budget: { simulations: read($("simulations").value), rounds: read($("rounds").value) },
    };
    if ($("pixel").value.trim()) told.microstructure.pixel = $("pixel").value.trim();
    if (kind === "model") told.network = { start: $("start").value };
    if (kind === "dataset") told.dataset = { source: $("start").value };
    if (kind === "generate") {
      told.dataset = { generate: { count: read($("count").value), simulated: read($("simulated").value) } };
    }
    return told;
  }

  function question() {
    return as_file ? { toml: $("toml").value } : { config: config() };
  }

  function tell(kind, ...lines) {
    verdict.className = `verdict ${kind}`;
    verdict.replaceChildren(...lines.map(([words, soft]) => {
      const line = document.createElement("p");
      line.textContent = words;
      if (soft) line.className = soft;
      return line;
    }));
  }

  function draw(regions) {
    const drawn = regions.map((region) => {
      const figure = document.createElement("figure"), name = document.createElement("figcaption");
      name.textContent = region.target;
      figure.append(name, new DOMParser().parseFromString(region.svg, "text/html").body.firstChild);
      return figure;
    });
    if (drawn.length) document.getElementById("regions").replaceChildren(...drawn);
    document.querySelector(".legend").hidden = !document.getElementById("regions").children.length;
  }

  async function check() {
    const now = question(), words = JSON.stringify(now);
    if (words === seen) return;
    seen = words;
    if (asking) asking.abort();
    const mine = (asking = new AbortController());
    start.disabled = true;
    verdict.classList.add("waiting");
    try {
      const found = await post("/api/check", now, mine.signal);
      last = found;
      draw(found.regions);
      const named = $("name").value.trim();
      if (!found.ok) tell("bad", [found.refusal]);
      else if (!named) tell("", ["Give it a name."]);
      else tell("good", ["It can start."], ...found.warnings.map((warning) => [warning, "warn"]));
      start.disabled = !found.ok || !named;
      plan.replaceChildren();
      if (!found.ok) return;
      await new Promise((done) => setTimeout(done, 1200)); // measured, so only of what stays as it is
      if (!mine.signal.aborted) show_plan((await post("/api/plan", now, mine.signal)).plan);
    } catch (error) {
      if (error.name !== "AbortError") tell("bad", [error.message]);
    }
  }

  function show_plan(told) {
    if (!told) return;
    const title = document.createElement("h2");
    title.textContent = "What it will take";
    plan.replaceChildren(title, ...told.words.slice(1).map((words) => {
      const line = document.createElement("p");
      line.textContent = words.trim();
      line.className = words.trim() === told.warning ? "warn" : "soft";
      return line;
    }));
  }

  function later() {
    clearTimeout(waiting);
    waiting = setTimeout(check, 250);
  }

  form.addEventListener("input", (event) => {
    if (event.target === $("start")) fit();
    later();
  });
  form.addEventListener("click", (event) => {
    const chip = event.target.closest("[data-words]"), gone = event.target.closest("[data-remove]");
    if (chip) {
      const all = asked(), field = all[all.length - 1].querySelector("[name=words]");
      field.value = [field.value.trim(), chip.dataset.words].filter(Boolean).join(", ");
    } else if (gone) {
      gone.closest(".asked").remove();
      renumber();
    } else if (event.target.id === "another") {
      add_target();
    } else if (event.target.id === "as-file") {
      as_file = !as_file;
      if (as_file && last && last.toml) $("toml").value = last.toml;
      document.getElementById("fields").hidden = as_file;
      document.getElementById("file").hidden = !as_file;
      event.target.textContent = as_file ? "Back to the form" : "Edit as TOML";
    } else return;
    later();
  });
  form.addEventListener("submit", async () => {
    start.disabled = true;
    const name = $("name").value.trim();
    await post("/api/campaigns", { name, ...question() }).then(
      () => (location.href = `/campaigns/${encodeURIComponent(name)}`),
      (error) => { tell("bad", [error.message]); start.disabled = false; },
    );
  });

  add_target();
  fit();
  check();
}
