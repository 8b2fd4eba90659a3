"use strict";
// What the page shows of an `answer`, and the controls that change the choice.

const NAMES = ["image", "n_features", "class_index", "beta", "size"]; // of a choice, also in the page's address

const listed = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
const fill = (id, options) => {
  at(id).innerHTML = options.map(([value, name]) => `<option value="${value}">${name}</option>`).join("");
};

/** The controls' options: those of k end at the number of candidates, images name their predicted class. */
function showControls({ problem, predicted: first }) {
  const { image, n_features, class_index, beta, size } = choice, { classes, labels, models } = data;
  const model = models[n_features];
  model.predicted ??= labels.map((_, i) => predicted(contributions(model, i), model.bias));
  if (at("image").dataset.model !== String(n_features)) {
    const wrong = (i) => (model.predicted[i] === labels[i] ? "" : ` \u2717 predicted ${classes[model.predicted[i]]}`);
    const option = (i) => `<option value="${i}">${i}: ${classes[labels[i]]}${wrong(i)}</option>`;
    const group = (c) => labels.map((label, i) => (label === c ? option(i) : "")).join("");
    at("image").innerHTML = classes.map((name, c) => `<optgroup label="${name}">${group(c)}</optgroup>`).join("");
    at("image").dataset.model = n_features;
  }
  fill("class_index", [[-1, `predicted: ${classes[first]}`], ...classes.map((name, c) => [c, name])]);
  const sizes = problem.maps.map((_, i) => [i + 1, `exactly ${i + 1}`]);
  fill("size", [[0, "free: the optimum decides"], ...sizes]);
  Object.entries({ image, class_index, beta, size }).forEach(([id, value]) => (at(id).value = value));
  document.querySelector(`[name="n_features"][value="${n_features}"]`).checked = true;
  at("beta_value").textContent = beta.toFixed(2);
  const verdict = first === labels[image] ? "which is right" : "which is wrong";
  at("about_image").textContent =
    `True class: ${classes[labels[image]]}. Predicted: ${classes[first]}, ${verdict}. ` +
    `STL-10 test image ${data.test_index[image]}; the photograph is not part of this page.`;
}

function showAnswer(found) {
  const { classes } = data, name = classes[found.class_index], { d } = found.problem;
  at("found").hidden = !d;
  if (!d) {
    at("sentence").textContent = `No map speaks for the class ${name}: nothing to select. Choose another class.`;
    at("proof").textContent = at("carried").textContent = "";
    return;
  }
  const numbers = found.problem.maps.filter((_, p) => found.bits[p]);
  at("sentence").textContent =
    `To explain \u201c${name}\u201d: ${numbers.length === 1 ? "map" : "maps"} ${listed(numbers)} ` +
    `(${found.k} of ${plural(d, "candidate")}).`;
  const among = found.size ? ` of ${plural(found.size, "map")}` : "", many = found.compared.toLocaleString("en");
  const tie = choice.beta === 0 ? " At \u03b2 = 0 several are equally good: shown is the best just above 0." : "";
  at("proof").textContent =
    `Energy ${text(found.energy, 4)}, the lowest of all ${many} selections${among}: every one was compared.${tie}`;
  const { all, selected, top_k } = found.scores;
  const of_top = `The ${found.k} most important: ${text(top_k.probability, 3)}.`;
  const other = found.same ? "They are also the most important maps." : of_top;
  at("carried").textContent =
    `P(${name}) with these maps alone: ${text(selected.probability, 3)}; with all ${choice.n_features}: ` +
    `${text(all.probability, 3)}. ${other}`;
}

function showExplanation(found) {
  const count = { selected: found.k, filtered: found.problem.d, all: choice.n_features };
  for (const [name, values] of Object.entries(found.heatmaps)) {
    paint(at(`heat_${name}`), values, data.image_size, data.image_size, data.colours.explanation);
    at(`heat_${name}`).setAttribute("aria-label", `heat map of ${plural(count[name], "map")}`);
    at(`n_${name}`).textContent = `${plural(count[name], "map")}${name === "all" ? ", with both signs" : ""}`;
  }
}

function showScores(found) {
  const rows = { all: `all ${choice.n_features}`, selected: `the ${found.k} selected` };
  rows.top_k = `the ${found.k} most important`;
  at("scores").innerHTML = Object.entries(rows).map(([name, title]) => {
    const { probability, margin, argmax } = found.scores[name], likeness = found.likeness[name];
    const cells = [text(probability, 3), text(margin, 2), argmax ? "yes" : "no"];
    cells.push(name === "all" || likeness === null ? "\u2013" : text(likeness, 3));
    const same = name === "top_k" && found.same ? " (the same maps)" : "";
    return `<tr class="${name === "selected" ? "chosen" : ""}"><th scope="row">${title}${same}</th>` +
      `${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
  }).join("");
}

/** A candidate with its importance, gain and cost; bars are shares of `most`. */
function mapTile({ problem, bits, gain, cost }, p, most) {
  const bar = (kind, value) =>
    `<span class="bar ${kind}" style="--share:${(100 * value) / most}%"><span>${kind}</span>${text(value, 3)}</span>`;
  const silent = problem.silent[p] ? "<span>silent: zero everywhere</span>" : "";
  return `<figure class="${bits[p] ? "selected" : ""}"><canvas></canvas><figcaption>` +
    `<b>${bits[p] ? "\u2713 " : ""}map ${problem.maps[p]}</b>` +
    `<span class="bar"><i>a</i><span>${text(-problem.field[p], 3)}</span></span>` +
    `${bar("gain", gain[p])}${bar("cost", cost[p])}${silent}</figcaption></figure>`;
}

function showMaps(found) {
  const { problem, gain, cost, size } = found, { maps, d, field } = problem;
  const model = data.models[choice.n_features], most = Math.max(...gain, ...cost, 1e-12);
  const order = maps.map((_, p) => p).sort((p, q) => field[p] - field[q]);
  at("maps").innerHTML = order.map((p) => mapTile(found, p, most)).join("");
  at("maps").querySelectorAll("canvas").forEach((canvas, i) => {
    const start = (choice.image * model.n + maps[order[i]]) * model.pixels;
    const map = model.maps.subarray(start, start + model.pixels);
    const least = Math.min(...map), range = Math.max(...map) - least || 1;
    const scaled = map.map((value) => (value - least) / range);
    paint(canvas, scaled, model.width, model.height, data.colours.maps);
  });
  at("rule").textContent = size
    ? `With k fixed to ${size}, a selected map may cost more than it gains, or one left out gain more than it costs.`
    : "At the optimum no selected map costs more than it gains, and no map left out gains more than it would cost.";
  at("left_out").textContent =
    `Frame and \u2713: selected. Each map has its own colour scale, dark for its least value. The other ` +
    `${plural(choice.n_features - d, "map")} of ${choice.n_features} have no positive importance for this class.`;
}

/** Compute the answer to a choice and show it. */
function show() {
  const before = performance.now();
  readWidths();
  last = answer(data, choice);
  choice.size = last.problem.d ? last.size : 0;
  showControls(last);
  showAnswer(last);
  if (last.problem.d) [showExplanation, showScores, showMaps, showMatrix, showPath].forEach((part) => part(last));
  document.body.getBoundingClientRect(); // the layout belongs to the time of a change
  last.milliseconds = performance.now() - before;
  at("clock").textContent = `The last change took ${Math.round(last.milliseconds)} ms.`;
}

/** Change the choice, show its answer and keep it in the address. */
function change(parts) {
  Object.assign(choice, parts);
  show();
  try {
    history.replaceState(null, "", `#${NAMES.map((name) => `${name}=${choice[name]}`).join("&")}`);
  } catch {} // some browsers do not let a file change its address
}

/** The choice in the page's address, each part checked; the default where there is none. */
function chosen(address) {
  const given = new URLSearchParams(address.replace(/^#/, "")), models = Object.keys(data.models);
  const number = (name, low, high, otherwise) => {
    const value = Number(given.get(name) ?? NaN);
    return value >= low && value <= high && (name === "beta" || value % 1 === 0) ? value : otherwise;
  };
  return {
    image: number("image", 0, data.labels.length - 1, 0),
    n_features: models.includes(given.get("n_features")) ? Number(given.get("n_features")) : Number(models[0]),
    class_index: number("class_index", -1, data.classes.length - 1, -1),
    beta: number("beta", 0, 1, data.beta),
    size: number("size", 0, 99, 0),
  };
}

function connect() {
  at("n_features").innerHTML = Object.keys(data.models).map((n) =>
    `<label><input type="radio" name="n_features" value="${n}"> ${n}</label>`).join("");
  at("beta_default").innerHTML = `<option value="${data.beta}"></option>`;
  for (const id of ["image", "class_index", "beta", "size"]) {
    at(id).addEventListener("input", (event) => change({ [id]: Number(event.target.value) }));
  }
  at("n_features").addEventListener("change", (event) => change({ n_features: Number(event.target.value) }));
  const step = (by) => change({ image: (choice.image + by + data.labels.length) % data.labels.length });
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  const kinds = document.querySelectorAll('[name="shown"]');
  kinds.forEach((radio) => radio.addEventListener("change", () => showMatrix(last)));
  const point = ({ target }) => target.dataset.cell && moveCell(...target.dataset.cell.split(",").map(Number));
  for (const event of ["pointermove", "pointerdown"]) at("qubo").addEventListener(event, point);
  at("qubo").addEventListener("keydown", (event) => {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    moveCell(cell[0] + by[0], cell[1] + by[1]);
  });
  for (const [event, live] of [["focus", "polite"], ["blur", "off"]]) { // read aloud only who walks through the matrix
    at("qubo").addEventListener(event, () => at("cell").setAttribute("aria-live", live));
  }
  const drag = (event) => {
    const { left, width } = at("path").getBoundingClientRect();
    const share = (event.clientX - left - EDGES.left) / (width - EDGES.left - EDGES.right);
    change({ beta: Math.round(100 * Math.min(1, Math.max(0, share))) / 100 });
  };
  at("path").addEventListener("pointerdown", (event) => {
    at("path").setPointerCapture(event.pointerId);
    drag(event);
  });
  at("path").addEventListener("pointermove", (event) => event.buttons && drag(event));
  addEventListener("resize", () => last && show());
  addEventListener("hashchange", () => location.hash.includes("=") && change(chosen(location.hash)));
}

/** For the test: the answers to a list of choices, each shown in turn, written as JSON into the page. */
function writeAnswers(choices) {
  const every = 13; // of the heat map's pixels, one in so many rows and columns
  const sampled = (values) => values.filter((_, i) => i % every === 0 && Math.floor(i / data.image_size) % every === 0);
  const answers = choices.map((one) => {
    choice = { ...one };
    show();
    const maps = Object.entries(last.heatmaps).map(([name, values]) => [name, [...sampled(values)]]);
    return { ...last, heatmaps: Object.fromEntries(maps) };
  });
  const written = document.body.appendChild(document.createElement("pre"));
  written.id = "answers";
  written.textContent = JSON.stringify(answers);
}

const asked = location.hash.startsWith("#answers=") && JSON.parse(decodeURIComponent(location.hash.slice(9)));
const hold = asked && document.body.appendChild(document.createElement("iframe")); // open, it delays the load event
if (hold) hold.contentDocument.open();
opened(JSON.parse(at("data").textContent)).then((ready) => {
  data = ready;
  const colours = (digits) => digits.match(/../g).map((byte) => parseInt(byte, 16));
  Object.keys(data.colours).forEach((use) => (data.colours[use] = colours(data.colours[use])));
  connect();
  at("loading").hidden = true;
  at("main").hidden = false;
  choice = chosen(location.hash);
  show();
  if (asked) writeAnswers(asked);
}).catch((error) => {
  const remedy = "A browser of 2023 or later can do it.";
  at("loading").textContent = `The maps could not be unpacked (${error.message}). ${remedy}`;
}).finally(() => hold && hold.contentDocument.close());
